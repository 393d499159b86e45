"""What a measurement is asked for."""

from dataclasses import dataclass
from pathlib import Path

EVERYDAY = "everyday"
"""The name of a set that is made here, and needs no manifest."""


@dataclass(frozen=True, slots=True)
class Options:
    files: tuple[Path, ...]
    manifest: Path | None
    set_name: str | None
    most: int | None
    seconds: float | None
    model: str
    language: str | None
    task: str
    device: str
    threads: int
    cadences: tuple[float, ...]
    piece_s: float
    plain: bool
    offline: bool
    replay: bool
    words: bool
    languages: tuple[str, ...]
    clips: str
    random_weights: bool
    batches: tuple[int, ...]
    json_path: str | None

    @property
    def everyday(self) -> bool:
        return self.set_name == EVERYDAY and self.manifest is None
