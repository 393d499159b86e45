"""The material as courses for contestants (core)."""

from collections.abc import Sequence

import numpy as np

from scripts.load.material import Stream
from scripts.load.reference import _levelled as levelled
from scripts.replaying.recordings import Recording

from .contestant import Course


def courses(streams: Sequence[Stream]) -> list[Course]:
    """Return each stream as it was recorded, levelled, and with what is said in it."""
    return [_course(number, stream) for number, stream in enumerate(streams)]


def _course(number: int, stream: Stream) -> Course:
    pcm = np.frombuffer(b"".join(stream.pieces()), dtype="<i2")
    script = stream.script(stream.samples)
    words = tuple((word.text, word.end_s) for word in script.words if word.end_s is not None)
    recording = Recording(f"stream {number}", pcm, " ".join(script.texts), words)
    return Course(recording, levelled(stream), script.texts)
