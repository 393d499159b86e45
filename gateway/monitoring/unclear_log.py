"""How much of the speech that brought no word is logged: a bound on the lines of one session (core)."""

from collections.abc import Sequence

from shared.messages import UnclearSpeech

MOST_LINES = 10
"""A session with music or noise that passes for speech may not fill the log: this many lines ..."""

PERIOD_S = 60.0
"""... in so many seconds; the next line says how many were left out."""


class UnclearLog:
    """Chooses the stretches of unclear speech that get a line in the log."""

    def __init__(self) -> None:
        self._periods: dict[str, tuple[float, int]] = {}  # by session: when its period began, the stretches in it

    def to_log(
        self, connection: str, stretches: Sequence[UnclearSpeech], now: float
    ) -> list[tuple[UnclearSpeech, int]]:
        """Return which of a session's new stretches to log, each with the number left out before it."""
        lines = []
        for stretch in stretches:
            began, count = self._periods.get(connection, (now, 0))
            left_out = 0
            if now - began >= PERIOD_S:
                began, count, left_out = now, 0, max(0, count - MOST_LINES)
            self._periods[connection] = (began, count + 1)
            if count < MOST_LINES:
                lines.append((stretch, left_out))
        return lines

    def forget(self, connection: str) -> None:
        """Forget a session that is closed."""
        self._periods.pop(connection, None)
