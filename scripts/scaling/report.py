"""Print what goes on, and all checks at the end; write them as JSON."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .checks import Row, good, judge
from .evidence import STAGES, Evidence, Look, SessionRecord
from .findings import Verdict

_MARKS = {
    Verdict.PASS: ("PASS", "green"),
    Verdict.FAIL: ("FAIL", "bold red"),
    Verdict.OPEN: ("-", "dim"),
    Verdict.NONE: ("none", "yellow"),
}
_REST = {Verdict.FAIL: "fail", Verdict.NONE: "cannot be made here", Verdict.OPEN: "were not made"}
PIPE_WIDTH = 120
_NARROWEST = 78
"""From this width on what is expected stands in one line each."""
_JSON_KEYS = {"phase": "act", "accounted": "books"}


class Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._doing = ""
        self._told: set[str] = set()

    def show(self, doing: str, look: Look, seen: Evidence | None) -> None:
        if doing and doing != self._doing:
            self._doing = doing
            self._console.print(f"{doing} {list(look.loads)}", markup=False)
        for row in judge(seen) if seen else ():
            if row.verdict is not Verdict.OPEN and row.name not in self._told:
                self._told.add(row.name)
                self._console.print(f"  {_MARKS[row.verdict][0]}  {row.name}: {row.measured}", markup=False)


def print_report(console: Console, url: str, rows: Sequence[Row], seen: Evidence | None, *, passed: bool) -> None:
    """Print what was checked, every check, and a sentence that counts them; nothing before anything was seen."""
    if seen is None:
        return
    plan, model = seen.plan, seen.idle.health.model or "an unknown model"
    slots = "+".join(map(str, plan.slots)) if len(set(plan.slots)) > 1 else f"{len(plan.slots)} x {plan.slots[0]}"
    devices = " ".join(sorted({gpu.device for gpu in seen.idle.serving if gpu.device}))
    console.print(f"{url}: {slots} slots, {model}{f' on {devices}' if devices else ''}", markup=False)
    if seen.idle.missing:
        console.print(f"not serving: GPU {', '.join(map(str, seen.idle.missing))}", style="red", markup=False)
    console.print()
    print_table(console, rows)
    console.print()
    counts = Counter(row.verdict for row in rows)
    sentence = f"{counts[Verdict.PASS]} of {len(rows)} pass"
    for verdict, words in _REST.items():
        sentence += f", {counts[verdict]} {words}" if counts[verdict] else ""
    console.print(f"{sentence}.", style="bold green" if passed else "bold red", markup=False)


def print_table(console: Console, rows: Sequence[Row]) -> None:
    table = Table(highlight=False, pad_edge=False, padding=(0, 2, 0, 0), box=None)
    table.add_column("")
    table.add_column("", no_wrap=True)
    table.add_column("expected", header_style="dim", no_wrap=console.width >= _NARROWEST)
    table.add_column("measured", header_style="dim")
    before = ""
    for row in rows:
        kind = row.name.split()[0] if row.name[-1].isdigit() else "beside the guide"
        if before not in {"", kind}:
            table.add_row()
        before = kind
        mark, style = _MARKS[row.verdict]
        about = Text.assemble(row.title, "\n", (row.expected, "dim"))
        table.add_row(Text(mark, style), row.name, about, row.measured or Text("not made", "dim"))
    console.print(table)


def render(about: dict[str, object], rows: Sequence[Row], seen: Evidence | None) -> str:
    body: dict[str, object] = {
        **about,
        "passed": bool(rows) and good(rows),
        "checks": [asdict(row) | {"measured": row.measured or None, "verdict": row.verdict.value} for row in rows],
    }
    if seen is not None:
        body["plan"] = {**asdict(seen.plan), "total": seen.plan.total, "room": seen.plan.room}
        body["floor_ms"] = round(seen.floor_ms, 2)
        body["server_setup_ms"] = seen.server_setup_ms
        body["memory_returned_after_s"] = seen.waited_s
        body["sessions"] = [_session(record) for _, record in sorted(seen.records.items())]
        body["looks"] = {stage: _look(seen.look(stage)) for stage in STAGES}
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


def _session(record: SessionRecord) -> dict[str, object]:
    body = asdict(record) | {"phase": record.phase.value}
    return {_JSON_KEYS.get(key, key): value for key, value in body.items()}


def _look(look: Look | None) -> dict[str, object] | None:
    if look is None:
        return None
    gpus = [
        {"gpu_id": gpu.gpu_id, "serving": gpu.serving, "sessions": gpu.active_connections, "slots": gpu.slots}
        | {"memory_gb": gpu.allocated_memory_gb, "weights": gpu.weights}
        for gpu in look.status.gpus
    ]
    return {"gpus": gpus, "health": look.health.status, "share_percent": look.share_percent, "waiting": look.waiting}


def write(path: str | None, text: str) -> None:
    if path == "-":
        sys.stdout.write(text)
    elif path is not None:
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            print(f"{path}: {error.strerror}", file=sys.stderr)
