"""``/asr?mode=events``: every message has a ``type`` and a ``seq`` and says what is new (core)."""

import json
from collections.abc import Sequence

from gateway.protocols.asr_messages import BAD_MESSAGE, config, dumps, error_fields
from gateway.protocols.base import (
    AudioEnded,
    AudioReceived,
    ClientEvent,
    ClientProtocol,
    CommitRequested,
    JsonObject,
    KeptAlive,
    Rejected,
)
from gateway.sessions.commands import SessionAccounting
from gateway.sessions.presenter import Greeting
from gateway.sessions.send_queue import Frame, SendQueue
from gateway.sessions.transcript import Segment, Transcript, seconds
from shared.errors import SessionError
from shared.messages import SAMPLE_RATE, Word


class EventsProtocol(ClientProtocol):
    """Tells what is new: partials are coalesced when the client reads slowly, finals never."""

    ACK_EVERY = SAMPLE_RATE

    def __init__(self, transcript: Transcript, queue: SendQueue[JsonObject]) -> None:
        self._transcript = transcript
        self._queue = queue
        self._finals: list[int | None] = []  # the seq under which each closed segment went out
        self._partial: JsonObject = {}
        self._shown = False  # the client may have a partial before it that is not empty
        self._acked = (0, 0)

    @staticmethod
    def encode(message: JsonObject, seq: int) -> Frame:
        """Return a message as JSON text with its number."""
        return dumps({**message, "seq": seq})

    def receive(self, frame: Frame) -> Sequence[ClientEvent]:
        """Return what a message of the client says: audio, or a control message as JSON text."""
        if isinstance(frame, bytes):
            return [AudioReceived(frame) if frame else AudioEnded()]
        try:
            command = json.loads(frame)
        except (ValueError, RecursionError):  # the latter from brackets within brackets
            command = None
        match command:
            case {"type": "finish"}:
                return [AudioEnded()]
            case {"type": "finalize"}:
                return [CommitRequested()]
            case {"type": "keepalive"}:
                return [KeptAlive()]
            case _:
                known = "finish, finalize, keepalive"
                return [Rejected(f"Unknown control message {frame[:80]!r}; known types are {known}")]

    def greeted(self, greeting: Greeting) -> None:
        """Queue ``config``."""
        self._queue.enqueue(config(greeting, "events"))

    def status(self, message: str, gpu_id: int | None) -> None:
        """Queue a status line."""
        where: JsonObject = {} if gpu_id is None else {"gpu_id": gpu_id}
        self._queue.enqueue({"type": "status", "message": message, **where})

    def migrated(self, gpu_id: int) -> None:
        """Tell that another worker serves the session."""
        self._queue.enqueue({"type": "moved", "gpu_id": gpu_id})

    def text_changed(self, received: int, lag_s: float) -> None:  # noqa: ARG002 - a view may ignore the lag
        """Queue the segments closed since, then offer the open one's partial and an acknowledgement."""
        self._show()
        ack = (received, self._transcript.committed_until)
        if ack[0] - self._acked[0] >= self.ACK_EVERY or ack[1] > self._acked[1]:
            self._acked = ack
            self._queue.discard("ack")  # it must not overtake the text that it acknowledges
            self._queue.enqueue_latest("ack", lambda: {"type": "ack", "received": ack[0], "committed_until": ack[1]})

    def rejected(self, sentence: str) -> None:
        """Tell of a message that was not understood."""
        self._queue.enqueue({"type": "error", "error": sentence, "code": BAD_MESSAGE})

    def failed(self, error: SessionError) -> None:
        """Queue the error."""
        self._queue.enqueue({"type": "error", **error_fields(error)})

    def completed(self, accounting: SessionAccounting) -> None:
        """Queue what is left of the text, then ``ready_to_stop``."""
        self._show()
        self._queue.enqueue({"type": "ready_to_stop", "audio": accounting.as_json()})

    def replay(self, last_seq: int) -> None:
        """Queue the finals again that went out after ``last_seq`` or never, and offer the partial anew."""
        for number, seq in enumerate(self._finals):
            if seq is None or seq > last_seq:
                self._post_final(number)
        self._partial, self._shown = {}, True
        self._acked = (0, 0)
        self._show()

    def _show(self) -> None:
        """Bring the client's text up to date; a tail that vanished without becoming final is taken back."""
        if self._post_finals():
            self._shown = False
        partial = self._render_partial()
        something = bool(partial["committed"] or partial["tail"])
        if (something or self._shown) and partial != self._partial:
            self._queue.enqueue_latest("partial", lambda: partial)
            self._partial = partial
            self._shown = something

    def _post_finals(self) -> bool:
        segments, before = self._transcript.segments, len(self._finals)
        while len(self._finals) < len(segments) and segments[len(self._finals)].closed:
            self._queue.discard("partial")
            self._finals.append(None)
            self._post_final(len(self._finals) - 1)
        return len(self._finals) > before

    def _post_final(self, number: int) -> None:
        def sent(seq: int) -> None:
            self._finals[number] = seq

        self._queue.enqueue(final(self._transcript.segments[number]), sent)

    def _render_partial(self) -> JsonObject:
        transcript, segment = self._transcript, self._transcript.open
        number = segment.number if segment else len(transcript.segments) + 1
        start = segment.start if segment else min(transcript.committed_until, transcript.tail_end)
        return {
            "type": "partial",
            "segment": number,
            "committed": segment.text if segment else "",
            "tail": transcript.tail if segment else transcript.tail.lstrip(),
            "start": seconds(start),
            "end": seconds(max(start, transcript.tail_end, segment.end if segment else 0)),
        }


def final(segment: Segment) -> JsonObject:
    """Return a closed segment's message."""
    return {
        "type": "final",
        "segment": segment.number,
        "text": segment.text,
        "start": seconds(segment.start),
        "end": seconds(segment.end),
        "words": [
            {
                "word": word.text,
                "start": seconds(word.start),
                "end": seconds(word.end),
                "probability": round(word.probability, 3),
            }
            for word in _spoken(segment.words)
        ],
        "language": segment.language,
    }


def _spoken(words: list[Word]) -> list[Word]:
    """Return the words with punctuation that was committed by itself joined to the word before it."""
    spoken: list[Word] = []
    for word in words:
        if spoken and not any(character.isalnum() for character in word.text):
            before = spoken[-1]
            spoken[-1] = Word(before.text + word.text, before.start, max(before.end, word.end), before.probability)
        else:
            spoken.append(word)
    return spoken
