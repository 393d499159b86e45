"""``/asr?mode=events``: each message has a ``type`` and a ``seq``, and holds only what is new (core)."""

import json
from collections.abc import Sequence

from gateway.protocols.asr_messages import BAD_MESSAGE, config, dumps, error_fields, status_fields
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
from gateway.sessions.presenter import Greeting, Status
from gateway.sessions.send_queue import Frame, SendQueue
from gateway.sessions.transcript import Segment, Transcript, seconds
from shared.errors import SessionError
from shared.messages import SAMPLE_RATE, Word


class EventsProtocol(ClientProtocol):
    """Sends closed segments once, as ``final``, and the open one as ``partial``, which slow clients get less often."""

    ACK_EVERY = SAMPLE_RATE  # acknowledge at least every second of audio

    def __init__(self, transcript: Transcript, queue: SendQueue[JsonObject]) -> None:
        self._transcript = transcript
        self._queue = queue
        self._finals: list[int | None] = []  # by closed segment: the seq of its final, None while it is unsent
        self._partial: JsonObject = {}
        self._shown = False  # True if the client may be showing a partial that is not empty
        self._acked = (0, 0)

    @staticmethod
    def encode(message: JsonObject, seq: int) -> Frame:
        """Return a message and its number as JSON text."""
        return dumps({**message, "seq": seq})

    def receive(self, frame: Frame) -> Sequence[ClientEvent]:
        """Decode a message: audio if it is binary, a control message in JSON if it is text."""
        if isinstance(frame, bytes):
            return [AudioReceived(frame) if frame else AudioEnded()]
        try:
            command = json.loads(frame)
        except (ValueError, RecursionError):  # RecursionError: brackets nested too deeply
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
        self._queue.enqueue(config(greeting, "events"))

    def status(self, status: Status, gpu_id: int | None) -> None:
        self._queue.enqueue({"type": "status", **status_fields(status, gpu_id)})

    def migrated(self, gpu_id: int) -> None:
        self._queue.enqueue({"type": "moved", "gpu_id": gpu_id})

    def text_changed(self, received: int, lag_s: float) -> None:  # noqa: ARG002 - only the other mode shows the lag
        """Queue the finals of newly closed segments, then the partial and the acknowledgement if they are new."""
        self._show()
        ack = (received, self._transcript.committed_until)
        if ack[0] - self._acked[0] >= self.ACK_EVERY or ack[1] > self._acked[1]:
            self._acked = ack
            self._queue.discard("ack")  # to its end: it must not overtake the text that it acknowledges
            self._queue.enqueue_latest("ack", lambda: {"type": "ack", "received": ack[0], "committed_until": ack[1]})

    def rejected(self, sentence: str) -> None:
        """Queue the error of a message that was not understood."""
        self._queue.enqueue({"type": "error", "error": sentence, "code": BAD_MESSAGE})

    def hint(self, code: str, sentence: str) -> None:
        self._queue.enqueue({"type": "hint", "code": code, "message": sentence})

    def failed(self, error: SessionError) -> None:
        self._queue.enqueue({"type": "error", **error_fields(error)})

    def completed(self, accounting: SessionAccounting) -> None:
        """Queue what is new of the text, then ``ready_to_stop``."""
        self._show()
        self._queue.enqueue({"type": "ready_to_stop", "audio": accounting.as_json()})

    def replay(self, last_seq: int) -> None:
        """Queue again each final that was sent after ``last_seq`` or never, then the partial."""
        for number, seq in enumerate(self._finals):
            if seq is None or seq > last_seq:
                self._enqueue_final(number)
        self._partial, self._shown = {}, True
        self._acked = (0, 0)
        self._show()

    def _show(self) -> None:
        """Queue new finals and, if it is another, the partial; an empty one only to take back what the client shows."""
        if self._enqueue_finals():
            self._shown = False
        partial = self._render_partial()
        has_text = bool(partial["committed"] or partial["tail"])
        if (has_text or self._shown) and partial != self._partial:
            self._queue.enqueue_latest("partial", lambda: partial)
            self._partial = partial
            self._shown = has_text

    def _enqueue_finals(self) -> bool:
        segments, before = self._transcript.segments, len(self._finals)
        while len(self._finals) < len(segments) and segments[len(self._finals)].closed:
            self._queue.discard("partial")
            self._finals.append(None)
            self._enqueue_final(len(self._finals) - 1)
        return len(self._finals) > before

    def _enqueue_final(self, number: int) -> None:
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
    """Return the ``final`` of a closed segment."""
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
            for word in _join_punctuation(segment.words)
        ],
        "language": segment.language,
    }


def _join_punctuation(words: list[Word]) -> list[Word]:
    """Return the words, with punctuation that was committed by itself joined to the word before it."""
    joined: list[Word] = []
    for word in words:
        if joined and not any(character.isalnum() for character in word.text):
            before = joined[-1]
            joined[-1] = Word(before.text + word.text, before.start, max(before.end, word.end), before.probability)
        else:
            joined.append(word)
    return joined
