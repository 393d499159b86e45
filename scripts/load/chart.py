"""Latency and processor cores against streams as an SVG, readable on light and on dark."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_WIDTH, _HEIGHT = 400, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 68, 40
_KEY_TOP, _KEY_LINE, _KEY_WIDTH = 34, 17, 160

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 13px }
.small { fill: #57606a }
.grid { stroke: #d0d7de; stroke-width: 1 }
.line { fill: none; stroke-width: 2; stroke-linejoin: round }
.dashed { stroke-dasharray: 5 4 }
.a { stroke: #0969da } .b { stroke: #bc4c00 } .c { stroke: #1a7f37 }
circle.a { fill: #0969da } circle.b { fill: #bc4c00 } circle.c { fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.small { fill: #9198a1 }
.grid { stroke: #3d444d }
.a { stroke: #4493f8 } .b { stroke: #f0883e } .c { stroke: #3fb950 }
circle.a { fill: #4493f8 } circle.b { fill: #f0883e } circle.c { fill: #3fb950 }
}
"""
# The name of each line, its figure, and how it looks.
_LATENCIES = (
    ("shown, p50", "shown_p50_s", "a"),
    ("shown, p95", "shown_p95_s", "a dashed"),
    ("committed, p50", "committed_p50_s", "b"),
    ("committed, p95", "committed_p95_s", "b dashed"),
)
_CPU = (
    ("gateway and workers", "cpu_per_audio_s", "c"),
    ("gateway", "gateway_cpu_per_audio_s", "c dashed"),
)

Loads = Mapping[int, Mapping[str, float | None]]
"""The figures of loads by their number of streams."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name, its look (a colour, and whether it is dashed), and its points."""

    name: str
    look: str
    points: tuple[tuple[float, float], ...]


def read(files: Sequence[Path]) -> Loads:
    """Return what is in files of `scripts/load_test --json`; of two loads of the same number the later counts.

    Raises:
        ValueError: a file is something else.
    """
    found: dict[int, Mapping[str, float | None]] = {}
    for file in files:
        try:
            runs = json.loads(file.read_text(encoding="utf-8"))["runs"]
            found |= {int(run["streams"]): dict(run["figures"]) for run in runs}
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not what scripts/load_test --json writes: {error!r}") from error
    return dict(sorted(found.items()))


def draw(loads: Loads, output: Path) -> None:
    """Write the charts; a line of which nothing is known is left out.

    Sessions speak in real time: CPU seconds a second of one's audio, times sessions, are cores.

    Raises:
        ValueError: there is nothing to draw.
    """
    latencies = [Line(name, look, _points(loads, figure)) for name, figure, look in _LATENCIES]
    cores = [
        Line(name, look, tuple((streams, streams * value) for streams, value in _points(loads, figure)))
        for name, figure, look in _CPU
    ]
    titled = {"seconds after a word was said": latencies, "processor cores in use": cores}
    charts = {title: known for title, lines in titled.items() if (known := [line for line in lines if line.points])}
    if not charts:
        raise ValueError("no load has latencies or CPU times to draw")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH * len(charts)} {_HEIGHT}" role="img">',
        f"<title>{'; '.join(charts)}</title>",
        f"<style>{_STYLE}</style>",
    ]
    for number, (title, lines) in enumerate(charts.items()):
        parts += [f'<g transform="translate({number * _WIDTH} 0)">', *_chart(title, lines), "</g>"]
    output.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def ticks(most: float, wanted: int = 5) -> list[float]:
    """Return round numbers from 0 to at least ``most``."""
    rough = (most or 1.0) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= rough * 0.999)
    return [step * i for i in range(math.ceil(most / step - 1e-9) + 1)]


def _points(loads: Loads, figure: str) -> tuple[tuple[float, float], ...]:
    found = ((float(streams), figures.get(figure)) for streams, figures in loads.items())
    return tuple((streams, value) for streams, value in found if value is not None)


def _chart(title: str, lines: Sequence[Line]) -> list[str]:
    points = [point for line in lines for point in line.points]
    right = max(x for x, _ in points)
    heights = ticks(max(y for _, y in points) * 1.05)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * x / right, 1),
            round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * y / heights[-1], 1),
        )

    parts = [_text("title", _LEFT, 18, title), _text("small", _WIDTH / 2, _HEIGHT - 6, "streams", "middle")]
    for height in heights:
        x, y = place(0, height)
        parts.append(f'<path class="grid" d="M{x} {y}H{_WIDTH - _RIGHT}"/>')
        parts.append(_text("small", x - 6, y + 4, f"{height:g}", "end"))
    last_x = -math.inf
    for count in sorted({x for x, _ in points}):
        x, y = place(count, 0)
        if x - last_x >= 16:
            parts.append(_text("small", x, y + 16, f"{count:g}", "middle"))
            last_x = x
    for number, line in enumerate(lines):
        places = [place(*point) for point in line.points]
        parts.append(f'<path class="line {line.look}" d="M{"L".join(f"{x} {y}" for x, y in places)}"/>')
        parts += [f'<circle class="{line.look.split()[0]}" cx="{x}" cy="{y}" r="2.5"/>' for x, y in places]
        x, y = _LEFT + number // 2 * _KEY_WIDTH, _KEY_TOP + number % 2 * _KEY_LINE
        parts.append(f'<path class="line {line.look}" d="M{x} {y}h24"/>')
        parts.append(_text("", x + 30, y + 4, line.name))
    return parts


def _text(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
