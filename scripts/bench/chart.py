"""Line charts as SVG, readable on light and on dark (core)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

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


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its points, its colour (``a``, ``b`` or ``c``), and whether it is dashed."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: str
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: what it shows, over what, and its lines; all begin at 0."""

    title: str
    below: str
    lines: tuple[Line, ...]


def svg(panels: Sequence[Panel]) -> str:
    """Return charts side by side.

    Raises:
        ValueError: a panel has no points.
    """
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH * len(panels)} {_HEIGHT}" role="img">',
        f"<title>{escape('; '.join(panel.title for panel in panels))}</title>",
        f"<style>{_STYLE}</style>",
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate({number * _WIDTH} 0)">', *_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def ticks(most: float, wanted: int = 5) -> list[float]:
    """Return round numbers from 0 to at least ``most``."""
    rough = (most or 1.0) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= rough * 0.999)
    return [step * i for i in range(math.ceil(most / step - 1e-9) + 1)]


def _panel(panel: Panel) -> list[str]:
    points = [point for line in panel.lines for point in line.points]
    if not points:
        raise ValueError(f"nothing is known for {panel.title!r}")
    right = max(x for x, _ in points)
    heights = ticks(max(y for _, y in points) * 1.05)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * x / right, 1),
            round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * y / heights[-1], 1),
        )

    parts = [f'<text class="title" x="{_LEFT}" y="18">{escape(panel.title)}</text>']
    for height in heights:
        x, y = place(0, height)
        parts.append(f'<path class="grid" d="M{x} {y}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="small" x="{x - 6}" y="{y + 4}" text-anchor="end">{height:g}</text>')
    last_x = -math.inf
    for count in sorted({x for x, _ in points}):
        x, y = place(count, 0)
        if x - last_x >= 16:
            parts.append(f'<text class="small" x="{x}" y="{y + 16}" text-anchor="middle">{count:g}</text>')
            last_x = x
    parts.append(
        f'<text class="small" x="{_WIDTH / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(panel.below)}</text>'
    )
    for number, line in enumerate(panel.lines):
        places = [place(*point) for point in line.points]
        look = f"line {line.colour}{' dashed' if line.dashed else ''}"
        parts.append(f'<path class="{look}" d="M{"L".join(f"{x} {y}" for x, y in places)}"/>')
        parts += [f'<circle class="{line.colour}" cx="{x}" cy="{y}" r="2.5"/>' for x, y in places]
        x, y = _LEFT + number // 2 * _KEY_WIDTH, _KEY_TOP + number % 2 * _KEY_LINE
        parts.append(f'<path class="{look}" d="M{x} {y}h24"/>')
        parts.append(f'<text x="{x + 30}" y="{y + 4}">{escape(line.name)}</text>')
    return parts
