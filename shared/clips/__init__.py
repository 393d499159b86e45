"""Six short clips of read speech (LJ Speech, public domain) with their words, for checks, tests and load tests."""

import json
import wave
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip: a WAV file, 16 kHz mono s16le, and what is said in it.

    Attributes:
        words: each word as in ``text``, with the second at which it ends.
    """

    id: str
    path: Path
    text: str
    duration_s: float
    source: str
    words: tuple[tuple[str, float], ...]

    def pcm(self) -> bytes:
        """Return the samples: s16le, 16 kHz, mono."""
        with wave.open(str(self.path), "rb") as reader:
            return reader.readframes(reader.getnframes())


def load_clips() -> tuple[Clip, ...]:
    """Return the clips in the order of their manifest."""
    entries = json.loads((_FOLDER / "manifest.json").read_text(encoding="utf-8"))
    return tuple(
        Clip(
            id=entry["id"],
            path=_FOLDER / entry["file"],
            text=entry["text"],
            duration_s=entry["duration_s"],
            source=entry["source"],
            words=tuple((word, end_s) for word, end_s in entry["words"]),
        )
        for entry in entries
    )
