"""One recording through policy and model: audio in pieces, a step after each, as a worker would do it."""

import time
from dataclasses import dataclass, field

from gpu_worker.policy import PolicySettings
from gpu_worker.recognizer import Recognizer
from gpu_worker.stream import Stream
from scripts.replaying.recordings import SAMPLE_RATE, Recording
from shared.messages import Books, Finished, Hypothesis, Word


@dataclass(frozen=True, slots=True)
class Cadence:
    """How audio comes and how often it is decoded, in seconds; ``piece_s`` 0 brings all of it at once."""

    period_s: float
    piece_s: float


@dataclass(frozen=True, slots=True)
class Update:
    """What a viewer sees from ``now_s`` (audio time) on: so many committed words, then the tail."""

    now_s: float
    committed: int
    tail: str


@dataclass(slots=True)
class Replay:
    """What became of a recording.

    Attributes:
        audio_s: its length.
        words: committed words.
        updates: what was seen when.
        books: the accounts of its samples.
        language: what it was taken for at the end; None while nobody knew.
        decodes: how many there were; ``window_s`` is their mean length, ``longest_s`` the longest.
        drafted: draft tokens offered, and ``accepted`` of them.
        decode_s: compute of the decodes, in seconds of this thread; ``listen_s`` of the gate, ``policy_s`` of the
            policy itself.
        minutes_s: compute spent in each minute of audio, by where the stream was.
        held: most samples the stream held at any time.
    """

    audio_s: float
    words: list[Word] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    books: Books | None = None
    language: str | None = None
    decodes: int = 0
    window_s: float = 0.0
    longest_s: float = 0.0
    drafted: int = 0
    accepted: int = 0
    decode_s: float = 0.0
    listen_s: float = 0.0
    policy_s: float = 0.0
    minutes_s: list[float] = field(default_factory=list)
    held: int = 0

    @property
    def text(self) -> str:
        """Return the committed text."""
        return "".join(word.text for word in self.words).strip()

    @property
    def compute_s(self) -> float:
        """Return all compute, in seconds of this thread."""
        return self.decode_s + self.listen_s + self.policy_s


def replay(
    recording: Recording,
    recognizer: Recognizer,
    *,
    cadence: Cadence,
    language: str | None = None,
    task: str = "transcribe",
    policy: PolicySettings | None = None,
) -> Replay:
    """Run a recording through a loaded recognizer.

    Raises:
        Exception: what the recognizer answered in place of a result.
    """
    stream = Stream(
        key=0,
        lease=0,
        session=recording.name,
        language=language,
        task=task,
        start=0,
        resume=None,
        policy=policy or PolicySettings(),
    )
    result = Replay(len(recording.pcm) / SAMPLE_RATE)
    recognizer.open(0)
    try:
        _feed(stream, recognizer, recording, cadence, result)
    finally:
        recognizer.close(0)
    return result


def _feed(stream: Stream, recognizer: Recognizer, recording: Recording, cadence: Cadence, result: Replay) -> None:
    period, total = round(cadence.period_s * SAMPLE_RATE), len(recording.pcm)
    piece = round(cadence.piece_s * SAMPLE_RATE) or max(total, 1)
    for start in range(0, total, piece):
        stream.receive(start, recording.pcm[start : start + piece].tobytes())
        _step(stream, recognizer, period, result)
        # Decodes of a backlog follow each other without new audio, as in a worker.
        while stream.lag() > piece + 2 * period and _step(stream, recognizer, period, result):
            pass
    stream.finish(total)
    while _step(stream, recognizer, period, result):
        pass


def _step(stream: Stream, recognizer: Recognizer, period: int, result: Replay) -> bool:
    begun = time.thread_time()
    before = result.compute_s
    listen = stream.listen_request()
    if listen:
        asked = time.thread_time()
        (heard,) = recognizer.listen([listen])
        result.listen_s += time.thread_time() - asked
        if isinstance(heard, Exception):
            raise heard
        stream.heard(heard)
    window = stream.window_request(period)
    if window:
        asked = time.thread_time()
        (found,) = recognizer.recognize([window])
        result.decode_s += time.thread_time() - asked
        if isinstance(found, Exception):
            raise found
        stream.decoded(found)
        length_s = (len(window.pcm) - window.context) / SAMPLE_RATE
        result.window_s += (length_s - result.window_s) / (result.decodes + 1)
        result.longest_s = max(result.longest_s, length_s)
        result.decodes += 1
        result.drafted += len(window.draft)
        result.accepted += found.accepted
    _take(stream, result)
    models = result.compute_s - before
    result.policy_s += time.thread_time() - begun - models
    minute = int(stream.decoded_until / SAMPLE_RATE // 60)
    result.minutes_s += [0.0] * (minute + 1 - len(result.minutes_s))
    result.minutes_s[minute] += result.compute_s - before
    return bool(listen or window)


def _take(stream: Stream, result: Replay) -> None:
    for message in stream.take():
        if isinstance(message, Finished):
            result.books = message.books
            continue
        _note(message, stream, result)


def _note(message: Hypothesis, stream: Stream, result: Replay) -> None:
    result.words += message.words
    result.language = message.language
    result.held = max(result.held, stream.received - message.keep_from)
    update = Update(stream.received / SAMPLE_RATE, len(result.words), message.tail)
    last = result.updates[-1] if result.updates else None
    if last is None or (last.committed, last.tail) != (update.committed, update.tail):
        result.updates.append(update)
