"""Fold a session's messages into its transcript, and time every word (core).

All times are the caller's monotonic clock in seconds. ``violations`` collects every promise of the protocol that the
server broke (committed text that changed, a reused segment, a sequence number that went back): tests want it empty.
"""

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import assert_never

from .audio import SAMPLE_RATE
from .messages import (
    Accounting,
    Ack,
    Config,
    Final,
    Moved,
    Partial,
    ReadyToStop,
    ServerError,
    ServerMessage,
    Status,
    Unknown,
    Update,
)
from .segment import Segment, Word
from .words import join_texts

READY = "Ready to transcribe"

# A final and the partial that takes over its tail leave the server together; later text is new text.
_HANDOVER_S = 0.25


@dataclass(frozen=True, slots=True)
class Shown:
    """When a status, an error or a move reached the client, and its text."""

    at_s: float
    text: str
    gpu_id: int | None = None


class Transcript:
    """What one session said so far, in text, words and times.

    A session whose connection was lost goes on (`resumed`), or a fresh one takes its place (`begun_again`): the caller
    shifts that one's messages onto this time line.

    Attributes:
        settled_samples: everything before is final, or was heard as nothing: a fresh session need not hear it.
        first_sample: where the present session begins on the time line.
        lost_samples: audio that no session heard, because it was not kept for so long.
        losses: how often the connection was lost.
    """

    def __init__(self, opened_s: float) -> None:
        self.opened_s = opened_s
        self.config: Config | None = None
        self.statuses: list[Shown] = []
        self.moves: list[Shown] = []
        self.errors: list[ServerError] = []
        self.segments: dict[int, Segment] = {}
        self.violations: list[str] = []
        self.accounting: Accounting | None = None
        self.acked_samples = 0
        self.committed_until = 0
        self.settled_samples = 0
        self.first_sample = 0
        self.lost_samples = 0
        self.losses = 0
        self.sent_samples = 0
        self.first_audio_s: float | None = None
        self.first_word_s: float | None = None
        self.ended_s: float | None = None
        self.done_s: float | None = None
        self._seq: int | None = None
        self._interrupted = False
        self._first_segment = 0
        self._stale: set[int] = set()
        self._sent_at_s = array("d")
        self._sent_until = array("q")
        self._orphans: tuple[float, list[Word]] = (opened_s, [])

    @property
    def committed(self) -> str:
        """All text that will not change any more."""
        return join_texts([segment.committed for segment in self.segments.values()])

    @property
    def tail(self) -> str:
        """The text after it, which may."""
        return join_texts([segment.tail for segment in self.segments.values()])

    @property
    def words(self) -> list[Word]:
        """Every word in order, the tail's included (not ``committed_s`` yet)."""
        return [word for segment in self.segments.values() for word in segment.words]

    @property
    def ready_s(self) -> float | None:
        """When the server said that the session has its slot."""
        return next((status.at_s for status in self.statuses if status.text == READY), None)

    @property
    def complete(self) -> bool:
        """Whether the server said everything."""
        return self.done_s is not None

    def sent(self, samples: int, now: float) -> None:
        """Note that so many more samples have been handed to the socket."""
        if self.first_audio_s is None:
            self.first_audio_s = now
        self.sent_samples += samples
        self._sent_at_s.append(now)
        self._sent_until.append(self.sent_samples)

    def audio_ended(self, now: float) -> None:
        """Note that the end marker has been sent; the flush is timed from here."""
        self.ended_s = now

    def sent_at_s(self, position_s: float) -> float | None:
        """Return when the audio at a position was sent, None if it was not."""
        index = bisect_left(self._sent_until, round(position_s * SAMPLE_RATE))
        return self._sent_at_s[index] if index < len(self._sent_at_s) else None

    @property
    def last_seq(self) -> int:
        """The number of the last message of the present session; 0 before the first."""
        return self._seq or 0

    @property
    def next_segment(self) -> int:
        """A segment number from which on all are free."""
        return max(self.segments, default=-1) + 1

    @property
    def unsettled_from(self) -> int | None:
        """From which sample on there is text that is not final; None if there is none."""
        settled_s = self.settled_samples / SAMPLE_RATE
        opened = [segment for segment in self.segments.values() if segment.words and not segment.closed]
        starts_s = [segment.start_s for segment in opened if segment.tail or segment.end_s > settled_s]
        return max(self.settled_samples, round(min(starts_s) * SAMPLE_RATE)) if starts_s else None

    def interrupted(self) -> None:
        """Note that the connection was lost: what the server says before the session goes on is no part of it."""
        self.losses += not self._interrupted
        self._interrupted = True

    def noticed(self, status: Status, now: float) -> None:
        """Take in a status that is the client's own."""
        self.statuses.append(Shown(now, status.message))

    def resumed(self, received: int) -> None:
        """Note that the session goes on, and how many samples its server has."""
        self._interrupted = False
        self.acked_samples = max(self.acked_samples, received)

    def begun_again(self, first_sample: int, lost_samples: int, now: float) -> None:
        """Note that a fresh session hears everything from a sample on: what is not final yet will be said anew.

        Until it is, the old words stand.
        """
        if self._seq is None:  # mode=full: the lines are final up to the very sample
            for segment in self.segments.values():
                if segment.committed:
                    segment.say(segment.committed, "", [], now)
                    segment.closed = True
        self._stale |= {segment.id for segment in self.segments.values() if not segment.closed}
        self._interrupted, self._seq = False, None
        self._first_segment = self.next_segment
        self.lost_samples += lost_samples
        self.first_sample = self.settled_samples = self.acked_samples = self.committed_until = first_sample

    def fold(self, message: ServerMessage, now: float) -> None:
        """Take in one message that arrived at ``now``."""
        if not isinstance(message, Update):
            self._follow(message.seq)
        if self.complete:
            self.violations.append(f"{type(message).__name__} after ready_to_stop")
        match message:
            case Partial():
                segment = self._segment(message.segment, message.start_s, message.end_s)
                self._say(segment, message.committed, message.tail, now)
            case Final():
                self._close(message, now)
            case Update():
                self._update(message, now)
            case _:
                self._note(message, now)

    def _note(self, message: Config | Status | Ack | Moved | ServerError | ReadyToStop | Unknown, now: float) -> None:
        match message:
            case Config():
                self.config = message
            case Status():
                self.statuses.append(Shown(now, message.message, message.gpu_id))
            case Ack():
                # An acknowledgement may come just before the words that it covers, but no later than those does the
                # next one: so it is the former one that says what was heard as nothing.
                if self.unsettled_from is None:
                    self.settled_samples = max(self.settled_samples, self.committed_until)
                self.acked_samples = max(self.acked_samples, message.received)
                self.committed_until = max(self.committed_until, message.committed_until)
            case Moved():
                self.moves.append(Shown(now, "moved", message.gpu_id))
            case ServerError():
                self.errors.append(message)
            case ReadyToStop():
                self.accounting, self.done_s = message.audio, now
                self._end(now)
            case Unknown():
                pass
            case _:
                assert_never(message)

    def _end(self, now: float) -> None:
        """Drop the tail: what was not committed is not said. In ``mode=events`` every segment has its final by now."""
        for segment in self.segments.values():
            if segment.tail:
                self._say(segment, segment.committed, "", now)
            if not segment.closed and segment.committed and self._seq is not None and segment.id not in self._stale:
                self.violations.append(f"segment {segment.id} never was closed: {segment.committed!r}")
            segment.closed = True

    def _follow(self, seq: int | None) -> None:
        if self._interrupted:
            return
        if seq is None:
            if self._seq is not None:
                self.violations.append("a message without seq")
            return
        if self._seq is not None and seq <= self._seq:
            self.violations.append(f"seq {seq} after {self._seq}")
        self._seq = seq

    def _segment(self, number: int, start_s: float, end_s: float) -> Segment:
        segment = self.segments.get(number)
        if segment is None:
            if self.segments and number < max(self.segments):
                self.violations.append(f"segment {number} begins after segment {max(self.segments)}")
            segment = self.segments[number] = Segment(number)
        segment.start_s, segment.end_s = start_s, end_s
        return segment

    def _say(self, segment: Segment, committed: str, tail: str, now: float) -> None:
        if self._stale and segment.id >= self._first_segment and (committed or tail):
            stale = [self.segments.pop(number) for number in sorted(self._stale)]
            self._orphans = (now, [word for each in stale for word in each.words])
            self._stale = set()
        orphaned_s, orphans = self._orphans
        adopted = orphans if not segment.words and now - orphaned_s <= _HANDOVER_S else []
        outcome = segment.say(committed, tail, adopted, now)
        self.violations.extend(outcome.violations)
        self._orphans = (now, outcome.orphans)
        if self.first_word_s is None and segment.words:
            self.first_word_s = now

    def _close(self, final: Final, now: float) -> None:
        segment = self._segment(final.segment, final.start_s, final.end_s)
        if segment.closed and self.losses and segment.committed.strip() == final.text.strip():
            return  # a resumed session says again what might not have arrived
        if segment.closed:
            self.violations.append(f"segment {final.segment} was closed twice")
        self._say(segment, final.text, "", now)
        segment.close(final.words, final.language)
        self.settled_samples = max(self.settled_samples, round(final.end_s * SAMPLE_RATE))

    def _update(self, update: Update, now: float) -> None:
        """Take in the whole state of ``mode=full``: its spoken lines are segments, all but the last are closed."""
        if update.message and (not self.statuses or self.statuses[-1].text != update.message):
            self.statuses.append(Shown(now, update.message, update.gpu_id))
        if update.error and (not self.errors or self.errors[-1].error != update.error):
            self.errors.append(ServerError(None, update.error, None, None))
        spoken = [line for line in update.lines if not line.silence]
        first = self._first_segment
        own = [segment for segment in self.segments.values() if segment.id >= first]
        if len(spoken) < sum(bool(segment.committed) for segment in own):
            self.violations.append(f"an update has {len(spoken)} lines, fewer than were committed")
            return
        # After a silence line the tail belongs to a line that is not there yet.
        owner = len(spoken) - 1 if spoken and not update.lines[-1].silence else len(spoken)
        for number, line in enumerate(spoken):
            tail, closed = update.tail if number == owner else "", number < len(spoken) - 1
            segment = self._segment(first + number, line.start_s, line.end_s)
            if (segment.committed, segment.tail, segment.closed) != (line.text, tail, closed):
                self._say(segment, line.text, tail, now)
                segment.closed, segment.language = closed, line.language
            self.settled_samples = max(self.settled_samples, round(line.end_s * SAMPLE_RATE))
        if owner == len(spoken) and (update.tail or first + owner in self.segments):
            self._say(self._segment(first + owner, 0.0, 0.0), "", update.tail, now)
