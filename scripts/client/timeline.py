"""Put the messages of a later session onto the time line of the first (core).

A server that has lost a session gives a fresh one, which counts samples and segments from its own beginning.
"""

from dataclasses import dataclass, replace
from typing import TypedDict

from .audio import SAMPLE_RATE
from .messages import Ack, Config, Final, FinalWord, Line, Partial, ServerMessage, Update


class _Span(TypedDict):
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where the present session begins: its first sample, and what its segment 0 is called."""

    first_sample: int = 0
    first_segment: int = 0

    def place(self, message: ServerMessage) -> ServerMessage:
        """Return the message with positions and segments of the whole time line."""
        match message:
            case Config(resumed=True):
                return replace(message, received=self.first_sample + message.received)
            case Ack(_, received, committed_until):
                return replace(
                    message,
                    received=self.first_sample + received,
                    committed_until=self.first_sample + committed_until,
                )
            case Partial(_, segment):
                return replace(message, segment=self.first_segment + segment, **self._span(message))
            case Final():
                return self._final(message)
            case Update(_, lines) if self.first_sample:
                return replace(message, lines=tuple(replace(line, **self._span(line)) for line in lines))
            case _:
                return message

    def _final(self, final: Final) -> Final:
        words = tuple(replace(word, **self._span(word)) for word in final.words)
        return replace(final, segment=self.first_segment + final.segment, words=words, **self._span(final))

    def _span(self, spoken: Partial | Final | FinalWord | Line) -> _Span:
        """Shift from when until when something is said; to the millisecond, as the server rounds."""
        shift_s = self.first_sample / SAMPLE_RATE
        return {"start_s": round(spoken.start_s + shift_s, 3), "end_s": round(spoken.end_s + shift_s, 3)}
