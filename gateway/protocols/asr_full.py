"""``/asr?mode=full``: WhisperLiveKit's format (version 0.2) (core).

Every message but ``config`` and ``ready_to_stop`` holds the whole text; a slow client gets fewer of them.
"""

from collections.abc import Sequence

from gateway.protocols.asr_messages import BAD_MESSAGE, config, dumps, error_fields, status_fields
from gateway.protocols.base import AudioEnded, AudioReceived, ClientEvent, ClientProtocol, JsonObject, Rejected
from gateway.sessions.commands import SessionAccounting
from gateway.sessions.presenter import Greeting, Status
from gateway.sessions.send_queue import Frame, SendQueue
from gateway.sessions.transcript import Transcript
from shared.errors import SessionError
from shared.messages import SAMPLE_RATE

SILENCE_LINE_S = 5.0
"""A pause of at least this long is a line of its own, with speaker -2."""


class FullProtocol(ClientProtocol):
    """Sends the whole state whenever the text has changed. An empty binary message of the client ends its audio."""

    def __init__(self, transcript: Transcript, queue: SendQueue[JsonObject]) -> None:
        self._transcript = transcript
        self._queue = queue
        self._lag_s = 0.0
        self._lines: list[JsonObject] = []
        self._line_end = 0
        self._line_words: list[str] = []  # of the last line, whose text is joined only when it is needed
        self._in_lines = (0, 0)  # how far the lines have come: segments, and words of the next segment
        self._queued_text = (0, "")  # committed words and tail of the state queued last

    @staticmethod
    def encode(message: JsonObject, _seq: int) -> Frame:
        """Return a message as JSON text; this mode has no numbers."""
        return dumps(message)

    def receive(self, frame: Frame) -> Sequence[ClientEvent]:
        """Decode a message: audio if it is binary, nothing known if it is text."""
        if isinstance(frame, bytes):
            return [AudioReceived(frame) if frame else AudioEnded()]
        return [Rejected("Text messages are only understood in mode=events; audio is sent as binary messages")]

    def greeted(self, greeting: Greeting) -> None:
        self._queue.enqueue(config(greeting, "full"))

    def status(self, status: Status, gpu_id: int | None) -> None:
        """Queue the state with the status under ``code`` and ``message``."""
        self._queue.enqueue(self._state() | status_fields(status, gpu_id))

    def migrated(self, gpu_id: int) -> None:
        """Queue nothing: the last status has said it."""

    def text_changed(self, received: int, lag_s: float) -> None:  # noqa: ARG002 - only the other mode shows positions
        """Queue the newest state if the text has changed."""
        self._lag_s = lag_s
        text = (self._transcript.words, self._transcript.tail)
        if text != self._queued_text:
            self._queued_text = text
            self._queue.enqueue_latest("state", self._state)

    def rejected(self, sentence: str) -> None:
        """Queue the state with an error. It is replaced by the next one, so that many bad messages cost one answer."""
        error: JsonObject = {"error": sentence, "code": BAD_MESSAGE}
        self._queue.enqueue_latest("rejected", lambda: self._error(error))

    def hint(self, code: str, sentence: str) -> None:
        """Queue the state with the hint under ``hint_code`` and ``hint``."""
        self._queue.enqueue(self._state() | {"hint": sentence, "hint_code": code})

    def failed(self, error: SessionError) -> None:
        """Queue the state with the error, or the error alone if there is no text yet."""
        self._queue.enqueue(self._error(error_fields(error)))

    def _error(self, error: JsonObject) -> JsonObject:
        has_text = self._transcript.words or self._transcript.tail
        return self._state() | error | {"status": "error"} if has_text else {"type": "error", **error}

    def completed(self, accounting: SessionAccounting) -> None:
        """Queue the final state, then ``ready_to_stop``."""
        self._queue.enqueue(self._state())
        self._queue.enqueue({"type": "ready_to_stop", "audio": accounting.as_json()})

    def replay(self, last_seq: int) -> None:  # noqa: ARG002 - the state is whole anyway
        self._queue.enqueue_latest("state", self._state)

    def _state(self) -> JsonObject:
        transcript = self._transcript
        self._update_lines()
        lines = list(self._lines)
        if self._line_words:
            lines[-1] = lines[-1] | {"text": "".join(self._line_words).strip()}
        has_text = bool(lines or transcript.tail)
        return {
            "status": "active_transcription" if has_text else "no_audio_detected",
            "lines": lines,
            "buffer_transcription": transcript.tail.lstrip(),
            "buffer_diarization": "",
            "buffer_translation": "",
            "remaining_time_transcription": round(self._lag_s, 2),
            "remaining_time_transcription_processing": round(self._lag_s, 2),
            "remaining_time_transcription_policy": 0.0,
            "remaining_time_diarization": 0.0,
        }

    def _update_lines(self) -> None:
        """Add the words to the lines that are new since the last call."""
        index, done = self._in_lines
        segments = self._transcript.segments
        while index < len(segments):
            segment = segments[index]
            for word in segment.words[done:]:
                self._append(word.text, word.start, word.end, segment.language)
            if not segment.closed:
                done = len(segment.words)
                break
            index, done = index + 1, 0
        self._in_lines = (index, done)

    def _append(self, text: str, start: int, end: int, language: str | None) -> None:
        if not self._lines or start - self._line_end >= SILENCE_LINE_S * SAMPLE_RATE:
            if self._lines:
                self._lines[-1]["text"] = "".join(self._line_words).strip()
            if start - self._line_end >= SILENCE_LINE_S * SAMPLE_RATE:
                self._lines.append(_line(-2, self._line_end, start, None))
            self._lines.append(_line(1, start, end, language))
            self._line_words = []
        self._line_words.append(text)
        self._line_end = end
        self._lines[-1] = self._lines[-1] | {"end": clock(end)}


def clock(samples: int) -> str:
    """Return a position as ``H:MM:SS.cc``."""
    hundredths = round(samples * 100 / SAMPLE_RATE)
    rest, cc = divmod(hundredths, 100)
    rest, s = divmod(rest, 60)
    h, m = divmod(rest, 60)
    return f"{h}:{m:02d}:{s:02d}.{cc:02d}"


def _line(speaker: int, start: int, end: int, language: str | None) -> JsonObject:
    line: JsonObject = {"speaker": speaker, "text": "", "start": clock(start), "end": clock(end)}
    return line | {"detected_language": language} if language else line
