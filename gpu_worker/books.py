"""Core: what became of each sample, counted once."""

from shared.messages import Books


class Ledger:
    """Counts samples as `settle` passes them: transcribed if a decode's window held them, else silence."""

    def __init__(self, opening: Books) -> None:
        self._books = opening
        self._windows: list[tuple[int, int]] = []

    @property
    def books(self) -> Books:
        """Return the accounts so far."""
        return self._books

    def decoded(self, start: int, end: int) -> None:
        """Note that a decode's window held the samples from ``start`` to ``end``.

        Raises:
            ValueError: some of them are counted already.
        """
        if start < self._books.until:
            raise ValueError(f"samples from {start} are counted up to {self._books.until}")
        kept = []
        for first, last in self._windows:
            if last < start or first > end:
                kept.append((first, last))
            else:
                start, end = min(first, start), max(last, end)
        self._windows = sorted([*kept, (start, end)])

    def settle(self, until: int) -> None:
        """Count the samples before ``until``; an earlier position than the last one changes nothing."""
        books = self._books
        if until <= books.until:
            return
        transcribed = sum(max(0, min(last, until) - first) for first, last in self._windows)
        silence = until - books.until - transcribed
        self._windows = [(max(first, until), last) for first, last in self._windows if last > until]
        self._books = Books(until, books.transcribed + transcribed, books.silence + silence)
