"""What `scripts/load_test` wrote, as charts of latency and CPU against streams (core)."""

import json
from collections.abc import Mapping, Sequence

from .chart import Line, Panel

_LATENCIES = (
    ("shown, p50", "shown_p50_s", "a", False),
    ("shown, p95", "shown_p95_s", "a", True),
    ("committed, p50", "committed_p50_s", "b", False),
    ("committed, p95", "committed_p95_s", "b", True),
)
_CPU = (
    ("gateway and workers", "cpu_per_audio_s", "c", False),
    ("gateway", "gateway_cpu_per_audio_s", "c", True),
)

Figures = Mapping[str, float | None]


def read(texts: Sequence[str]) -> dict[int, Figures]:
    """Return the figures by number of streams; of two loads of the same number the later counts.

    Raises:
        ValueError: a text is not what the load test writes.
    """
    found: dict[int, Figures] = {}
    for text in texts:
        try:
            found |= {int(run["streams"]): dict(run["figures"]) for run in json.loads(text)["runs"]}
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not what scripts/load_test --json writes: {error!r}") from error
    return dict(sorted(found.items()))


def panels(found: Mapping[int, Figures]) -> list[Panel]:
    """Return latency after a word's end, and processor cores in use; a line of which nothing is known is left out.

    Sessions speak in real time: CPU seconds a second of one's audio, times sessions, are cores.
    """
    latency = [_line(found, *each, times_streams=False) for each in _LATENCIES]
    cpu = [_line(found, *each, times_streams=True) for each in _CPU]
    charts = [
        Panel("seconds after a word was said", "streams", tuple(line for line in latency if line.points)),
        Panel("processor cores in use", "streams", tuple(line for line in cpu if line.points)),
    ]
    return [chart for chart in charts if chart.lines]


def _line(
    found: Mapping[int, Figures], name: str, figure: str, colour: str, dashed: bool, *, times_streams: bool
) -> Line:
    points = [
        (float(streams), value * (streams if times_streams else 1))
        for streams, figures in found.items()
        if (value := figures.get(figure)) is not None
    ]
    return Line(name, tuple(points), colour, dashed)
