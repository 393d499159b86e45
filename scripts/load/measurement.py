"""What is asked for and what has been measured so far, kept in its JSON file (shell)."""

import os
import platform
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from whisper_live_client.outcome import Exit

from .bounds import Bound
from .drive import Wishes
from .material import Material, Stream
from .monitor import JsonObject
from .observations import Observations
from .results import describe, render
from .scoring import Score
from .session import SessionReport, all_speaking_s
from .summary import Summary, summarise


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    wishes: Wishes
    monitor_token: str | None = field(repr=False)
    counts: tuple[int, ...]
    seconds: float | None
    manifest: Path | None
    set_name: str | None
    reference: str | None
    pids: tuple[int, ...]
    run_dir: Path
    json_path: Path | None
    bounds: tuple[Bound, ...]


@dataclass(slots=True)
class Load:
    """One load: what was sent, what came of it."""

    streams: list[Stream]
    reports: list[SessionReport]
    seen: Observations
    reference: list[Score] | None = None

    def summary(self) -> Summary:
        """Add it up."""
        return summarise(len(self.streams), self.reports, self.seen, all_speaking_s(self.reports), self.reference)

    @property
    def whole(self) -> bool:
        """Whether all its sessions came to their end."""
        complete = Exit.COMPLETE.name.lower()
        return len(self.reports) == len(self.streams) and all(each.outcome == complete for each in self.reports)


@dataclass(slots=True)
class Measurement:
    """Everything measured so far, and what it was measured on."""

    options: Options
    material: Material
    server: JsonObject
    began: datetime
    loads: list[Load] = field(default_factory=list)
    interrupted: bool = False

    def write(self) -> None:
        """Write the JSON file, if one is asked for.

        Raises:
            OSError: it cannot be written.
        """
        options = self.options
        if options.json_path is None:
            return
        about: JsonObject = {
            "began": self.began.isoformat(timespec="seconds"),
            "url": options.wishes.url,
            "mode": options.wishes.mode,
            "material": self.material.name,
            "seconds": options.seconds,
            "ramp_s": options.wishes.ramp_s,
            "message_ms": options.wishes.message_ms,
            "reference": options.reference,
            "bounds": [str(bound) for bound in options.bounds],
            "interrupted": self.interrupted,
            "server": self.server,
            "client": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        }
        runs = [describe(load.summary(), load.seen, load.reports) for load in self.loads]
        options.json_path.write_text(render(about, runs), encoding="utf-8")
