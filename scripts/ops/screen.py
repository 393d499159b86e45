"""A server's whole state as one terminal screen, 80 columns wide."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scripts.tools.server_api import Event, GpuRow, MonitorState, SessionRow
from scripts.tools.supervisord import DOWN, Process

WIDTH = 80
STYLES = {
    "healthy": "bold green",
    "degraded": "bold yellow",
    "critical": "bold red",
    "serving": "green",
    "draining": "yellow",
    "lost": "bold red",
    "expected": "yellow",
    "RUNNING": "green",
    "FATAL": "bold red",
    "EXITED": "bold red",
    "allocated": "green",
    "moved": "yellow",
    "stopped": "yellow",
    "failed": "yellow",
    "refused": "red",
}
NONE = "-"


@dataclass(frozen=True, slots=True)
class State:
    url: str
    gateway: MonitorState | str
    processes: Sequence[Process] | str

    @property
    def healthy(self) -> bool:
        return isinstance(self.gateway, MonitorState) and self.gateway.status != "critical"


def screen(state: State, now: datetime, lines: int) -> RenderableType:
    parts: list[Text | Table] = [_title(state, now)]
    if isinstance(state.gateway, str):
        parts += [Text("unreachable", STYLES["critical"]), Text(state.gateway, overflow="fold")]
        events: tuple[Event, ...] = ()
    else:
        parts += [_summary(state.gateway), Text(), _gpus(state.gateway.gpus), Text(), _sessions(state.gateway)]
        events = state.gateway.events
    parts += [Text(), _processes(state.processes)]
    if events:
        used = sum(part.row_count + bool(part.show_header) if isinstance(part, Table) else 1 for part in parts)
        parts += [Text(), _events(events[: max(3, lines - used - 3)], now.tzinfo or UTC)]
    return Group(*parts)


def _title(state: State, now: datetime) -> Table:
    row = Table.grid(expand=False)
    row.add_column(width=WIDTH - 20, no_wrap=True, overflow="ellipsis")
    row.add_column(width=20, justify="right", no_wrap=True)
    title = Text(state.url, "bold")
    if isinstance(state.gateway, MonitorState) and state.gateway.model:
        title.append(f"  {state.gateway.model}", "not bold")
    row.add_row(title, Text(f"{now:%Y-%m-%d %H:%M:%S}", "dim"))
    return row


def _summary(gateway: MonitorState) -> Text:
    parts = [
        f"{gateway.used_slots}/{gateway.total_slots} slots",
        f"{sum(gpu.state == 'serving' for gpu in gateway.gpus)} of {len(gateway.gpus)} GPUs",
        f"lag {_lag(gateway.lag_s)}",
        f"setup {_milliseconds(gateway.history.setup_median_ms)}",
        *([f"{gateway.history.refused} refused"] if gateway.history.refused else []),
        f"up {duration(gateway.uptime_s)}",
    ]
    text = Text(gateway.status, STYLES.get(gateway.status, ""), no_wrap=True, overflow="ellipsis")
    text.append("  " + "  ".join(parts), "not bold default")
    text.truncate(WIDTH, overflow="ellipsis")
    return text


def _gpus(gpus: Sequence[GpuRow]) -> Table:
    table = _table(("GPU", 4), ("state", 9), ("slots", 13), ("memory", 15), ("load", 6), ("lag", 7), ("boots", 6))
    table.add_column("weights", width=WIDTH - 67, no_wrap=True, overflow="ellipsis")
    for gpu in gpus:
        table.add_row(
            str(gpu.gpu_id),
            Text(gpu.state, STYLES.get(gpu.state, "")),
            Text(_slots(gpu)),
            _memory(gpu),
            NONE if gpu.utilization_percent is None else f"{gpu.utilization_percent:.0f} %",
            _lag(gpu.lag_s),
            str(gpu.boots),
            Text(gpu.weights or NONE),
        )
    return table


def _sessions(gateway: MonitorState) -> Text | Table:
    rows = [(f"GPU {gpu.gpu_id}", each) for gpu in gateway.gpus for each in gpu.sessions]
    rows += [("no slot", each) for each in gateway.elsewhere]
    return _in_two_columns([_session(*row) for row in rows]) if rows else Text("No sessions.", "dim")


def _session(place: str, session: SessionRow) -> Text:
    age = "" if session.age_s is None else duration(session.age_s)
    lag = "" if session.lag_s is None else _lag(session.lag_s)
    style = "" if session.state in ("ready", "free") else "yellow"
    return Text.assemble(
        (f"{place:<8}", "dim"), f"{session.id:<9}", (f"{session.state:<10}", style), f"{age:>5}{lag:>7}"
    )


def _processes(processes: Sequence[Process] | str) -> Text | Table:
    return Text(processes, "yellow") if isinstance(processes, str) else _in_two_columns(list(map(_process, processes)))


def _process(process: Process) -> Text:
    if process.state in DOWN and process.exit_status is not None:
        detail = f"exit {process.exit_status}"
    else:
        detail = "" if process.pid is None else f"{process.pid} {duration(process.age_s or 0.0):>7}"
    return Text.assemble(f"{process.name:<14}", (f"{process.state:<9}", STYLES.get(process.state, "yellow")), detail)


def _in_two_columns(cells: Sequence[Text]) -> Table:
    grid, half = Table.grid(), (len(cells) + 1) // 2
    for _ in range(2):
        grid.add_column(width=WIDTH // 2, no_wrap=True, overflow="ellipsis")
    for index in range(half):
        right = cells[half + index] if half + index < len(cells) else Text()
        grid.add_row(cells[index], right)
    return grid


def _events(events: Sequence[Event], zone: tzinfo) -> Table:
    grid = Table.grid()
    grid.add_column(width=10, style="dim", no_wrap=True)
    grid.add_column(width=WIDTH - 10, no_wrap=True, overflow="ellipsis")
    for event in events:
        at = datetime.fromtimestamp(event.at, zone)
        grid.add_row(f"{at:%H:%M:%S}", Text(sentence(event), STYLES.get(event.kind, "")))
    return grid


def sentence(event: Event) -> str:
    who, gpu = event.session, f"GPU {event.gpu_id}"
    refused = "a session was" if event.count == 1 else f"{event.count} sessions were"
    words = {
        "allocated": f"{who} got a slot on {gpu}",
        "moved": f"{who} is back on {gpu}" if event.from_gpu is None else f"{who} moved, GPU {event.from_gpu} -> {gpu}",
        "ended": f"{who} ended",
        "failed": f"{who} was given up by its worker",
        "refused": f"{refused} refused",
        "lost": f"{gpu} is lost",
        "draining": f"{gpu} is draining",
        "stopped": f"{gpu} has stopped",
        "serving": f"{gpu} serves",
    }.get(event.kind, event.kind)
    return f"{words} ({event.detail.replace('_', ' ')})" if event.detail and event.kind != "serving" else words


def _table(*columns: tuple[str, int]) -> Table:
    table = Table(box=None, padding=0, pad_edge=False, header_style="dim", collapse_padding=True)
    for name, width in columns:
        table.add_column(name, width=width, no_wrap=True, overflow="ellipsis")
    return table


def _slots(gpu: GpuRow) -> str:
    count = f"{gpu.used}/{gpu.slots}"
    return f"{'■' * gpu.used}{'□' * (gpu.slots - gpu.used)} {count}" if gpu.used <= gpu.slots <= 6 else count


def _memory(gpu: GpuRow) -> str:
    if gpu.memory_used_gb is None:
        return NONE
    used = f"{gpu.memory_used_gb:.2f}" if gpu.memory_used_gb < 10 else f"{gpu.memory_used_gb:.0f}"
    return f"{used} GB" if gpu.memory_total_gb is None else f"{used} of {gpu.memory_total_gb:.0f} GB"


def _lag(seconds: float | None) -> str:
    return NONE if seconds is None else f"{seconds:.1f} s"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def duration(seconds: float) -> str:
    """Return a length of time as 0:42, 1:04:09 or 2 d 3 h."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
