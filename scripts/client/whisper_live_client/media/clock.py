"""Keep the samples of a track on the clock of its container, so that words stand where the picture shows them."""

from av.audio.frame import AudioFrame

from whisper_live_client.audio import BYTES_PER_SAMPLE, SAMPLE_RATE

_TOLERANCE_S = 0.1
"""Time stamps are rounded, and encoders pad: a gap of less than this is none."""

_MAX_GAP_S = 2 * 3600.0
"""A jump past this is a broken time stamp, and no pause that somebody recorded."""

_PIECE_S = 1.0


class Clock:
    """Finds the gaps between a track's frames.

    Args:
        start_s: the container's first time stamp, where players begin to count.
    """

    def __init__(self, start_s: float) -> None:
        self._zero_s = start_s

    def gap(self, frame: AudioFrame, done: int) -> int:
        """Return how many samples at 16 kHz are missing before a frame when ``done`` have come out so far.

        Time stamps that jump too far, or back, are taken for a new count that goes on from here.
        """
        if frame.pts is None or frame.time is None:
            return 0
        due_s = frame.time - self._zero_s
        missing_s = due_s - done / SAMPLE_RATE
        if abs(missing_s) < _TOLERANCE_S:
            return 0
        if missing_s < 0 or missing_s > _MAX_GAP_S:
            self._zero_s += missing_s
            return 0
        return round(missing_s * SAMPLE_RATE)


def silence(samples: int) -> list[bytes]:
    """Return this much silence in pieces of a second at most."""
    whole, rest = divmod(samples, round(_PIECE_S * SAMPLE_RATE))
    sizes = [round(_PIECE_S * SAMPLE_RATE)] * whole + [rest] * (rest > 0)
    return [bytes(size * BYTES_PER_SAMPLE) for size in sizes]
