"""Fold a session's events into its transcript, and time every word.

All times are the caller's monotonic clock in seconds. ``violations`` collects every promise of the protocol that the
server broke (committed text that changed, a reused segment, a sequence number that went back): tests want it empty.
"""

from array import array
from bisect import bisect_left
from typing import assert_never

from .audio import SAMPLE_RATE
from .events import (
    Accounting,
    Ack,
    Config,
    ErrorEvent,
    Final,
    Hint,
    Moved,
    Partial,
    ReadyToStop,
    ServerEvent,
    Status,
    Unknown,
    Update,
)
from .segment import Segment, Word, join_texts

READY = "ready"
"""The code of the status that says that the session has a slot with its model loaded."""

# A final and the partial that takes over its tail leave the server together; later text is new text.
_HANDOVER_S = 0.25


class Transcript:
    """What one session said so far, in text, words and times.

    A session whose connection was lost goes on (`resumed`), or a fresh one takes its place (`restarted`): the caller
    shifts that one's messages onto this time line.
    """

    def __init__(self, opened_s: float) -> None:
        self.opened_s = opened_s
        self.config: Config | None = None
        self.statuses: list[Status] = []
        self.moves: list[Moved] = []
        self.hints: list[Hint] = []
        self.errors: list[ErrorEvent] = []
        self.segments: dict[int, Segment] = {}
        self.violations: list[str] = []
        self.accounting: Accounting | None = None
        self.committed_until = 0
        self.settled_samples = 0  # everything before is final or was nothing: a fresh session need not hear it
        self.first_sample = 0  # where the present session begins on the time line
        self.lost_samples = 0  # audio that no session heard, because it was not kept long enough
        self.disconnects = 0
        self.sent_samples = 0
        self.connected_s: float | None = None  # when the first event came
        self.first_audio_s: float | None = None  # when it was sent
        self.first_word_s: float | None = None  # when it was shown
        self.ended_s: float | None = None  # when the end marker was sent; the flush is timed from here
        self.done_s: float | None = None  # when the server had said everything
        self._seq: int | None = None
        self._disconnected = False
        self._first_segment = 0
        self._superseded: set[int] = set()
        self._sent_at_s = array("d")
        self._sent_until = array("q")
        self._dropped: tuple[float, list[Word]] = (opened_s, [])

    @property
    def committed(self) -> str:
        return join_texts([segment.committed for segment in self.segments.values()])

    @property
    def tail(self) -> str:
        return join_texts([segment.tail for segment in self.segments.values()])

    @property
    def words(self) -> list[Word]:
        return [word for segment in self.segments.values() for word in segment.words]

    @property
    def ready_s(self) -> float | None:
        return next((status.arrived_s for status in self.statuses if status.code == READY), None)

    @property
    def complete(self) -> bool:
        return self.done_s is not None

    @property
    def balanced(self) -> bool | None:
        """Whether sent = received = transcribed + silence + unclear + dropped; None without an accounting."""
        if (audio := self.accounting) is None:
            return None
        counted = audio.transcribed + audio.silence + audio.unclear + audio.dropped
        return audio.received == self.sent_samples == counted

    def sent(self, samples: int, now: float) -> None:
        if self.first_audio_s is None:
            self.first_audio_s = now
        self.sent_samples += samples
        self._sent_at_s.append(now)
        self._sent_until.append(self.sent_samples)

    def sent_at_s(self, position_s: float) -> float | None:
        index = bisect_left(self._sent_until, round(position_s * SAMPLE_RATE))
        return self._sent_at_s[index] if index < len(self._sent_at_s) else None

    @property
    def last_seq(self) -> int:
        """The number of the last message of the present session; 0 before the first."""
        return self._seq or 0

    @property
    def next_segment(self) -> int:
        return max(self.segments, default=-1) + 1

    @property
    def unsettled_from(self) -> int | None:
        """From which sample on there is text that is not final; None if there is none."""
        settled_s = self.settled_samples / SAMPLE_RATE
        opened = [segment for segment in self.segments.values() if segment.words and not segment.closed]
        starts_s = [segment.start_s for segment in opened if segment.tail or segment.end_s > settled_s]
        return max(self.settled_samples, round(min(starts_s) * SAMPLE_RATE)) if starts_s else None

    def disconnected(self) -> None:
        """Note that the connection was lost: what the server says before the session goes on is no part of it."""
        self.disconnects += not self._disconnected
        self._disconnected = True

    def resumed(self) -> None:
        self._disconnected = False

    def restarted(self, first_sample: int, lost_samples: int, now: float) -> None:
        """Note that a fresh session hears everything from a sample on: what is not final yet will be said anew.

        Until it is, the old words stand.
        """
        if self._seq is None:  # mode=full: the lines are final up to the very sample
            for segment in self.segments.values():
                if segment.committed:
                    segment.update(segment.committed, "", [], now)
                    segment.closed = True
        self._superseded |= {segment.id for segment in self.segments.values() if not segment.closed}
        self._disconnected, self._seq = False, None
        self._first_segment = self.next_segment
        self.lost_samples += lost_samples
        self.first_sample = self.settled_samples = self.committed_until = first_sample

    def fold(self, event: ServerEvent) -> None:
        if self.connected_s is None:
            self.connected_s = event.arrived_s
        if not isinstance(event, Update):
            self._check_seq(event.seq)
        if self.complete:
            self.violations.append(f"{type(event).__name__} after ready_to_stop")
        match event:
            case Partial():
                segment = self._segment(event.segment, event.start_s, event.end_s)
                self._set_text(segment, event.committed, event.tail, event.arrived_s)
            case Final():
                self._close(event)
            case Update():
                self._update(event)
            case _:
                self._fold_other(event)

    def _fold_other(self, event: Config | Status | Ack | Moved | Hint | ErrorEvent | ReadyToStop | Unknown) -> None:
        match event:
            case Config():
                self.config = event
            case Status():
                self.statuses.append(event)
            case Ack():
                # An acknowledgement may come just before the words that it covers, but no later than those does the
                # next one: so it is the former one that says what was heard as nothing.
                if self.unsettled_from is None:
                    self.settled_samples = max(self.settled_samples, self.committed_until)
                self.committed_until = max(self.committed_until, event.committed_until)
            case Moved():
                self.moves.append(event)
            case Hint():
                self.hints.append(event)
            case ErrorEvent():
                self.errors.append(event)
            case ReadyToStop():
                self.accounting, self.done_s = event.audio, event.arrived_s
                self._end(event.arrived_s)
            case Unknown():
                pass
            case _:
                assert_never(event)

    def _end(self, now: float) -> None:
        """Drop the tail: what was not committed is not said. In ``mode=events`` every segment has its final by now."""
        for segment in self.segments.values():
            if segment.tail:
                self._set_text(segment, segment.committed, "", now)
            if (
                not segment.closed
                and segment.committed
                and self._seq is not None
                and segment.id not in self._superseded
            ):
                self.violations.append(f"segment {segment.id} never was closed: {segment.committed!r}")
            segment.closed = True

    def _check_seq(self, seq: int | None) -> None:
        if self._disconnected:
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

    def _set_text(self, segment: Segment, committed: str, tail: str, now: float) -> None:
        if self._superseded and segment.id >= self._first_segment and (committed or tail):
            superseded = [self.segments.pop(number) for number in sorted(self._superseded)]
            self._dropped = (now, [word for each in superseded for word in each.words])
            self._superseded = set()
        dropped_s, dropped = self._dropped
        inherited = dropped if not segment.words and now - dropped_s <= _HANDOVER_S else []
        change = segment.update(committed, tail, inherited, now)
        self.violations.extend(change.violations)
        self._dropped = (now, change.dropped)
        if self.first_word_s is None and segment.words:
            self.first_word_s = now

    def _close(self, final: Final) -> None:
        segment = self._segment(final.segment, final.start_s, final.end_s)
        if segment.closed and self.disconnects and segment.committed.strip() == final.text.strip():
            return  # a resumed session says again what might not have arrived
        if segment.closed:
            self.violations.append(f"segment {final.segment} was closed twice")
        self._set_text(segment, final.text, "", final.arrived_s)
        segment.close(final.words, final.language)
        self.settled_samples = max(self.settled_samples, round(final.end_s * SAMPLE_RATE))

    def _update(self, update: Update) -> None:
        """Take in the whole state of ``mode=full``: its spoken lines are segments, all but the last are closed."""
        now = update.arrived_s
        if update.message and (not self.statuses or self.statuses[-1].message != update.message):
            self.statuses.append(Status(None, update.message, update.gpu_id, update.code, arrived_s=now))
        if update.hint:
            self.hints.append(Hint(None, update.hint_code, update.hint, arrived_s=now))
        if update.error and (not self.errors or self.errors[-1].error != update.error):
            self.errors.append(ErrorEvent(None, update.error))
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
                self._set_text(segment, line.text, tail, now)
                segment.closed, segment.language = closed, line.language
            self.settled_samples = max(self.settled_samples, round(line.end_s * SAMPLE_RATE))
        if owner == len(spoken) and (update.tail or first + owner in self.segments):
            self._set_text(self._segment(first + owner, 0.0, 0.0), "", update.tail, now)
