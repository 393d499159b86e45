"""A worker's slots without its sockets: streams that are stepped together, by policy and model (shell)."""

from collections.abc import Sequence
from dataclasses import replace

from gpu_worker.policy import PolicySettings
from gpu_worker.recognizer import ListenResult, Recognizer, WindowResult
from gpu_worker.slots import SlotTable
from gpu_worker.stream import Stream
from scripts.replaying.recordings import SAMPLE_RATE, Recording
from scripts.replaying.run import Replay, Update
from shared.messages import Finished, Open

from .contestant import Course

_MOST = 8
"""Windows of one step, as a worker on a CPU takes them."""

_KEYS = 1 << 20


class Room:
    """Recordings at the same time, each in a slot.

    Args:
        recognizer: a loaded model.
        period_s: seconds of audio between two decodes of a stream.
        recordings: one a slot.
        language: what is spoken; None to detect it.
        task: ``transcribe`` or ``translate``.
        apart: keeps this room's streams apart from another's, where both use one model.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        period_s: float,
        recordings: Sequence[Recording],
        language: str | None,
        *,
        task: str = "transcribe",
        apart: int = 0,
    ) -> None:
        self.steps: list[int] = []
        self._apart = apart * _KEYS
        self._recognizer = recognizer
        self._period_s = period_s
        self._table = SlotTable(len(recordings), PolicySettings())
        self._seats: dict[int, tuple[Stream, Recording, Replay]] = {}
        for number, recording in enumerate(recordings):
            asked = Open(number, recording.name, language, task, 0, None)
            key = self._table.open(0, asked, 0.0)
            slot = None if key is None else self._table.get(key)
            if key is None or slot is None:
                raise RuntimeError("a table of as many slots as streams is full")
            slot.opened = True
            recognizer.open(self._apart + key)
            self._seats[key] = slot.stream, recording, Replay(len(recording.pcm) / SAMPLE_RATE)

    def bring(self, until: int) -> None:
        """Let the audio before ``until`` arrive in all streams, and step as long as something is due."""
        for stream, recording, _ in self._seats.values():
            new = recording.pcm[stream.received : until]
            if len(new):
                stream.receive(stream.received, new.tobytes())
        self._work()

    def finish(self) -> list[Replay]:
        """End the audio of all streams; return what was shown when."""
        for stream, _, _ in self._seats.values():
            stream.finish(stream.received)
        self._work()
        for key in self._seats:
            self._table.close(key)
            self._recognizer.close(self._apart + key)
        return [replay for _, _, replay in self._seats.values()]

    def _work(self) -> None:
        while self._step():
            pass

    def _step(self) -> bool:
        listens = self._table.listens()
        if listens:
            asked = [replace(listen, key=self._apart + listen.key) for listen in listens]
            for listen, heard in zip(listens, self._recognizer.listen(asked), strict=True):
                if not isinstance(heard, ListenResult):
                    raise heard
                self._seats[listen.key][0].heard(heard)
        windows = self._table.windows(self._period_s, _MOST)
        if windows:
            self.steps.append(len(windows))
            wanted = [replace(window, key=self._apart + window.key) for window in windows]
            for window, found in zip(windows, self._recognizer.recognize(wanted), strict=True):
                if not isinstance(found, WindowResult):
                    raise found
                stream, _, replay = self._seats[window.key]
                replay.decodes += 1
                replay.drafted += len(window.draft)
                replay.accepted += found.accepted
                stream.decoded(found)
        for stream, _, replay in self._seats.values():
            _note(stream, replay)
        return bool(listens or windows)


def _note(stream: Stream, replay: Replay) -> None:
    for message in stream.take():
        if isinstance(message, Finished):
            replay.books = message.books
            continue
        replay.words += message.words
        replay.language = message.language
        update = Update(stream.received / SAMPLE_RATE, len(replay.words), message.tail)
        last = replay.updates[-1] if replay.updates else None
        if last is None or (last.committed, last.tail) != (update.committed, update.tail):
            replay.updates.append(update)


class Ours:
    """This project's policy and model, as a contestant: one stream alone in a worker."""

    def __init__(
        self,
        recognizer: Recognizer,
        period_s: float,
        language: str | None,
        *,
        task: str = "transcribe",
        apart: int = 0,
    ) -> None:
        self.name = f"ours, {period_s:g} s"
        self._apart = apart
        self._task = task
        self._recognizer = recognizer
        self._period_s = period_s
        self._language = language
        self._room: Room | None = None

    def begin(self, course: Course) -> None:
        """Take a slot."""
        recordings = [course.recording]
        self._room = Room(
            self._recognizer, self._period_s, recordings, self._language, task=self._task, apart=self._apart
        )

    def bring(self, until: int) -> None:
        """Bring audio."""
        if self._room is not None:
            self._room.bring(until)

    def finish(self) -> Replay:
        """End the stream.

        Raises:
            RuntimeError: none was begun.
        """
        if self._room is None:
            raise RuntimeError("no stream was begun")
        [replay] = self._room.finish()
        self._room = None
        return replay
