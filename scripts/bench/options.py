"""What a measurement is asked for."""

from dataclasses import dataclass
from pathlib import Path


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
