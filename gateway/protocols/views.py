"""What a client is told: the transcript and the session's events, in either wire format.

`FullView` is WhisperLiveKit's format, in which every message but ``config`` and ``ready_to_stop`` is the whole
state. `EventsView` is ours: every message has a ``type`` and says what is new.
"""

from typing import Protocol

from gateway.sessions.send_queue import JsonObject, Outbox
from gateway.sessions.transcript import Segment, Transcript, seconds
from shared.messages import SAMPLE_RATE, Word

SILENCE_LINE_S = 5.0
"""A pause of at least this long becomes a line of its own (speaker -2) in the full format."""


BAD_MESSAGE = "bad_message"
"""The code of an error that ends nothing: the client sent something that was not understood."""


class View(Protocol):
    """Fills a client's outbox."""

    def config(self, facts: JsonObject) -> None:
        """Post the first message."""

    def status(self, message: str, gpu_id: int | None) -> None:
        """Post a status line."""

    def moved(self, gpu_id: int) -> None:
        """Tell that another worker serves the session."""

    def changed(self, received: int, lag_s: float) -> None:
        """Note that the text, or the positions, have changed."""

    def error(self, message: str, code: str, retry_after_s: float | None) -> None:
        """Post an error."""

    def complaint(self, message: str) -> None:
        """Tell of a message that was not understood."""

    def ready_to_stop(self, audio: JsonObject) -> None:
        """Post the last message: everything said has been sent before it."""

    def replay(self, last_seq: int) -> None:
        """Say again what a client that lost its socket after ``last_seq`` may have missed."""


class FullView:
    """WhisperLiveKit's format (version 0.2): whole states, coalesced when the client reads slowly."""

    def __init__(self, transcript: Transcript, outbox: Outbox) -> None:
        self._transcript = transcript
        self._outbox = outbox
        self._lag_s = 0.0
        self._lines: list[JsonObject] = []
        self._line_end = 0
        self._line_words: list[str] = []
        self._taken = (0, 0)
        self._offered = (0, "")

    def config(self, facts: JsonObject) -> None:
        """Post the first message."""
        self._outbox.post({"type": "config", "useAudioWorklet": True, "mode": "full", **facts})

    def status(self, message: str, gpu_id: int | None) -> None:
        """Post a whole state that carries the status in ``message``."""
        extra: JsonObject = {"message": message}
        if gpu_id is not None:
            extra["gpu_id"] = gpu_id
        self._outbox.post(self._state() | extra)

    def moved(self, gpu_id: int) -> None:
        """Post nothing: the status line has said it."""

    def changed(self, received: int, lag_s: float) -> None:  # noqa: ARG002 - a view may ignore positions
        """Have the newest state sent when the client is ready for it, if its text is another."""
        self._lag_s = lag_s
        text = (self._transcript.words, self._transcript.tail)
        if text != self._offered:
            self._offered = text
            self._outbox.offer("state", self._state)

    def error(self, message: str, code: str, retry_after_s: float | None) -> None:
        """Post the error on a whole state; before any text it stands alone, as design.md §5 has it."""
        self._outbox.post(self._error(_error(message, code, retry_after_s)))

    def complaint(self, message: str) -> None:
        """Tell of a message that was not understood; the whole text rides along, so many unread ones are told once."""
        self._outbox.offer("complaint", lambda: self._error(_error(message, BAD_MESSAGE, None)))

    def _error(self, error: JsonObject) -> JsonObject:
        said = self._transcript.words or self._transcript.tail
        return self._state() | error | {"status": "error"} if said else {"type": "error", **error}

    def ready_to_stop(self, audio: JsonObject) -> None:
        """Post the final state, then the end mark."""
        self._outbox.post(self._state())
        self._outbox.post({"type": "ready_to_stop", "audio": audio})

    def replay(self, last_seq: int) -> None:  # noqa: ARG002 - the whole state says it all
        """Have the whole state sent."""
        self._outbox.offer("state", self._state)

    def _state(self) -> JsonObject:
        transcript = self._transcript
        self._take()
        lines = list(self._lines)
        if self._line_words:
            lines[-1] = lines[-1] | {"text": "".join(self._line_words).strip()}
        said = bool(lines or transcript.tail)
        return {
            "status": "active_transcription" if said else "no_audio_detected",
            "lines": lines,
            "buffer_transcription": transcript.tail.lstrip(),
            "buffer_diarization": "",
            "buffer_translation": "",
            "remaining_time_transcription": round(self._lag_s, 2),
            "remaining_time_transcription_processing": round(self._lag_s, 2),
            "remaining_time_transcription_policy": 0.0,
            "remaining_time_diarization": 0.0,
        }

    def _take(self) -> None:
        """Bring ``_lines`` up to date with the words that are new since the last call."""
        index, done = self._taken
        segments = self._transcript.segments
        while index < len(segments):
            segment = segments[index]
            for word in segment.words[done:]:
                self._append(word.text, word.start, word.end, segment.language)
            if not segment.closed:
                done = len(segment.words)
                break
            index, done = index + 1, 0
        self._taken = (index, done)

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


class EventsView:
    """Our format: partials are coalesced when the client reads slowly, finals never."""

    ACK_EVERY = SAMPLE_RATE

    def __init__(self, transcript: Transcript, outbox: Outbox) -> None:
        self._transcript = transcript
        self._outbox = outbox
        self._finals: list[int | None] = []  # the seq under which each closed segment went out
        self._partial: JsonObject = {}
        self._shown = False  # the client may have a partial before it that is not empty
        self._acked = (0, 0)

    def config(self, facts: JsonObject) -> None:
        """Post the first message."""
        self._outbox.post({"type": "config", "useAudioWorklet": True, "mode": "events", **facts})

    def status(self, message: str, gpu_id: int | None) -> None:
        """Post a status line."""
        where: JsonObject = {} if gpu_id is None else {"gpu_id": gpu_id}
        self._outbox.post({"type": "status", "message": message, **where})

    def moved(self, gpu_id: int) -> None:
        """Tell that another worker serves the session."""
        self._outbox.post({"type": "moved", "gpu_id": gpu_id})

    def changed(self, received: int, lag_s: float) -> None:  # noqa: ARG002 - a view may ignore the lag
        """Post the segments closed since, then offer the open one's partial and an acknowledgement."""
        self._show()
        ack = (received, self._transcript.committed_until)
        if ack[0] - self._acked[0] >= self.ACK_EVERY or ack[1] > self._acked[1]:
            self._acked = ack
            self._outbox.withdraw("ack")  # it must not overtake the text that it acknowledges
            self._outbox.offer("ack", lambda: {"type": "ack", "received": ack[0], "committed_until": ack[1]})

    def error(self, message: str, code: str, retry_after_s: float | None) -> None:
        """Post an error."""
        self._outbox.post({"type": "error", **_error(message, code, retry_after_s)})

    def complaint(self, message: str) -> None:
        """Tell of a message that was not understood."""
        self.error(message, BAD_MESSAGE, None)

    def ready_to_stop(self, audio: JsonObject) -> None:
        """Post what is left, then the end mark."""
        self._show()
        self._outbox.post({"type": "ready_to_stop", "audio": audio})

    def replay(self, last_seq: int) -> None:
        """Post the finals again that went out after ``last_seq`` or never, and offer the partial anew."""
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
            self._outbox.offer("partial", lambda: partial)
            self._partial = partial
            self._shown = something

    def _post_finals(self) -> bool:
        segments, before = self._transcript.segments, len(self._finals)
        while len(self._finals) < len(segments) and segments[len(self._finals)].closed:
            self._outbox.withdraw("partial")
            self._finals.append(None)
            self._post_final(len(self._finals) - 1)
        return len(self._finals) > before

    def _post_final(self, number: int) -> None:
        def sent(seq: int) -> None:
            self._finals[number] = seq

        self._outbox.post(final(self._transcript.segments[number]), sent)

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


def _error(message: str, code: str, retry_after_s: float | None) -> JsonObject:
    error: JsonObject = {"error": message, "code": code}
    return error if retry_after_s is None else error | {"retry_after_s": retry_after_s}


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
