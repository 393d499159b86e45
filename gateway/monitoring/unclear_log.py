"""Logs speech that brought no word, with a bound on the lines of one session (core)."""

from collections.abc import Callable, Sequence

from shared.messages import SAMPLE_RATE, UnclearSpeech

MOST_LINES = 10
"""A session with music or noise that passes for speech may not fill the log: this many lines ..."""

PERIOD_S = 60.0
"""... in so many seconds; the next line says how many were left out."""


class UnclearLog:
    """Writes one line for each stretch of unclear speech.

    Args:
        write: writes a line: its sentence, and its fields as keywords.
    """

    def __init__(self, write: Callable[..., None]) -> None:
        self._write = write
        self._periods: dict[str, tuple[float, int]] = {}  # by session: when its period began, the stretches in it

    def told(self, connection: str, stretches: Sequence[UnclearSpeech], now: float) -> None:
        """Take the stretches that a worker has found in a session's audio."""
        for stretch in stretches:
            began, count = self._periods.get(connection, (now, 0))
            left_out = 0
            if now - began >= PERIOD_S:
                began, count, left_out = now, 0, max(0, count - MOST_LINES)
            self._periods[connection] = (began, count + 1)
            if count < MOST_LINES:
                self._line(connection, stretch, left_out)

    def forget(self, connection: str) -> None:
        """Forget a session that is closed."""
        self._periods.pop(connection, None)

    def _line(self, connection: str, stretch: UnclearSpeech, left_out: int) -> None:
        start_s, end_s = stretch.start / SAMPLE_RATE, stretch.end / SAMPLE_RATE
        self._write(
            f"Connection {connection}: speech from {start_s:.1f} s to {end_s:.1f} s brought no word ({stretch.cause})",
            event_id="unclear_speech",
            connection=connection,
            start_s=round(start_s, 3),
            end_s=round(end_s, 3),
            cause=stretch.cause,
            left_out=left_out,
        )
