"""What each decode of live speech had to do: how long its window is, and how many tokens it takes (core)."""

import json
from dataclasses import dataclass
from pathlib import Path

from gpu_worker.recognizer import WindowRequest, WindowResult

_MEASURED = Path(__file__).with_name("windows.json")


@dataclass(frozen=True, slots=True)
class WindowShape:
    """One decode: samples in its window, tokens committed there, drafted, accepted of the draft, and found anew."""

    samples: int
    committed: int
    drafted: int
    accepted: int
    found: int

    @classmethod
    def of(cls, request: WindowRequest, result: WindowResult) -> "WindowShape":
        samples = len(request.pcm) - request.context
        return cls(samples, len(request.committed), len(request.draft), result.accepted, len(result.tokens))


def measured_windows() -> dict[float, list[WindowShape]]:
    """Return what was once measured on speech, by cadence in seconds."""
    cadences = json.loads(_MEASURED.read_text(encoding="utf-8"))["cadences"]
    return {float(cadence): [WindowShape(*each) for each in shapes] for cadence, shapes in cadences.items()}
