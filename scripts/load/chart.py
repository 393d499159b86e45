"""Latency and processor cores against streams as an SVG, readable on light and on dark."""

import json
import math
from collections.abc import Mapping, Sequence
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
.line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round }
.dashed { stroke-dasharray: 5 4 }
circle { fill: currentColor }
.a { color: #0969da } .b { color: #bc4c00 } .c { color: #1a7f37 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.small { fill: #9198a1 }
.grid { stroke: #3d444d }
.a { color: #4493f8 } .b { color: #f0883e } .c { color: #3fb950 }
}
"""
# The lines of each chart: a line's name, its figure, and how it looks (a colour, and whether it is dashed).
_CHARTS = {
    "seconds after a word was said": (
        ("shown, p50", "shown_p50_s", "a"),
        ("shown, p95", "shown_p95_s", "a dashed"),
        ("committed, p50", "committed_p50_s", "b"),
        ("committed, p95", "committed_p95_s", "b dashed"),
    ),
    "processor cores in use": (
        ("gateway and workers", "cpu_per_audio_s", "c"),
        ("gateway", "gateway_cpu_per_audio_s", "c dashed"),
    ),
}

Loads = Mapping[int, Mapping[str, float | None]]
"""The figures of loads by their number of streams."""

_Points = list[tuple[float, float]]


def read(files: Sequence[Path]) -> Loads:
    """Return what `scripts/load_test --json` wrote; of two loads of the same number the later counts."""
    found: dict[int, Mapping[str, float | None]] = {}
    for file in files:
        try:
            runs = json.loads(file.read_text(encoding="utf-8"))["runs"]
            found |= {int(run["streams"]): dict(run["figures"]) for run in runs}
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not what scripts/load_test --json writes: {error!r}") from error
    return dict(sorted(found.items()))


def draw(loads: Loads, output: Path) -> None:
    """Write the charts; a line of which nothing is known is left out, and ValueError says if nothing is left."""
    charts = {
        title: known
        for title, lines in _CHARTS.items()
        if (known := [(name, look, found) for name, figure, look in lines if (found := _points(loads, figure))])
    }
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


def _points(loads: Loads, figure: str) -> _Points:
    # Sessions speak in real time: CPU seconds a second of one's audio, times sessions, are cores.
    found = ((streams, streams if "cpu" in figure else 1, figures.get(figure)) for streams, figures in loads.items())
    return [(streams, times * value) for streams, times, value in found if value is not None]


def _chart(title: str, lines: Sequence[tuple[str, str, _Points]]) -> list[str]:
    points = [point for _, _, found in lines for point in found]
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
    for number, (name, look, found) in enumerate(lines):
        places = [place(*point) for point in found]
        parts.append(f'<path class="line {look}" d="M{"L".join(f"{x} {y}" for x, y in places)}"/>')
        parts += [f'<circle class="{look}" cx="{x}" cy="{y}" r="2.5"/>' for x, y in places]
        x, y = _LEFT + number // 2 * _KEY_WIDTH, _KEY_TOP + number % 2 * _KEY_LINE
        parts.append(f'<path class="line {look}" d="M{x} {y}h24"/>')
        parts.append(_text("", x + 30, y + 4, name))
    return parts


def _text(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
