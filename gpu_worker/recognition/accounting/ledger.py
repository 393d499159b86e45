"""Core: counts each sample once, as what became of it."""

from shared.messages import AudioAccounting, UnclearSpeech


class AudioLedger:
    """Counts samples when they are settled.

    As unclear if they were heard as speech and brought no word, else as transcribed if a decode's window contained
    them, else as silence.
    """

    def __init__(self, opening: AudioAccounting, unclear: tuple[UnclearSpeech, ...] = ()) -> None:
        self._accounting = opening
        self._windows: list[tuple[int, int]] = []
        self._unclear = unclear

    @property
    def unclear(self) -> tuple[UnclearSpeech, ...]:
        """Return the stretches of unclear speech that are not settled, or not to their end."""
        return self._unclear

    @property
    def accounting(self) -> AudioAccounting:
        return self._accounting

    def decoded(self, start: int, end: int) -> None:
        """Record that a decode's window contained the samples from ``start`` to ``end``.

        Raises:
            ValueError: some of them are counted already.
        """
        if start < self._accounting.until:
            raise ValueError(f"samples from {start} are counted up to {self._accounting.until}")
        apart = []
        for first, last in self._windows:
            if last < start or first > end:
                apart.append((first, last))
            else:
                start, end = min(first, start), max(last, end)
        self._windows = sorted([*apart, (start, end)])

    def note_unclear(self, stretches: tuple[UnclearSpeech, ...]) -> None:
        """Record speech that brought no word; later than what was recorded before."""
        self._unclear += stretches

    def settle(self, until: int) -> None:
        """Count the samples before ``until``; an earlier position than the last one changes nothing."""
        before = self._accounting
        if until <= before.until:
            return
        apart = [(max(each.start, before.until), min(each.end, until)) for each in self._unclear]
        unclear = sum(max(0, last - first) for first, last in apart)
        decoded = sum(max(0, min(last, until) - first) for first, last in self._windows)
        both = sum(max(0, min(last, end) - max(first, start)) for first, last in self._windows for start, end in apart)
        transcribed = decoded - both
        self._windows = [(max(first, until), last) for first, last in self._windows if last > until]
        self._unclear = tuple(each for each in self._unclear if each.end > until)
        self._accounting = AudioAccounting(
            until,
            before.transcribed + transcribed,
            before.silence + until - before.until - transcribed - unclear,
            before.unclear + unclear,
        )
