"""Hold figures against the bounds that were asked for (core)."""

import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(r"(?:(?P<streams>\d+):)?(?P<name>\w+)(?P<comparison><=|>=|<|>)(?P<limit>-?\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure must reach, at one number of streams or (None) at each."""

    streams: int | None
    name: str
    comparison: str
    limit: float

    def __str__(self) -> str:
        at = "" if self.streams is None else f"{self.streams}:"
        return f"{at}{self.name}{self.comparison}{self.limit:g}"

    def concerns(self, streams: int) -> bool:
        return self.streams in {None, streams}

    def met(self, figures: Mapping[str, float | None]) -> bool:
        """Return True if the figure reaches it; what is unknown does not."""
        value = figures[self.name]
        return value is not None and _COMPARISONS[self.comparison](value, self.limit)


def parse_bound(text: str, names: Collection[str]) -> Bound:
    """Read ``shown_p95_s<=0.8``, or ``16:shown_p95_s<=1.5`` for 16 streams only; ValueError says what is wrong."""
    found = _FORM.fullmatch(text.replace(" ", ""))
    if found is None:
        raise ValueError(f"{text!r} is not of the form [STREAMS:]FIGURE<=NUMBER")
    if found["name"] not in names:
        raise ValueError(f"there is no figure {found['name']!r}; there are {', '.join(names)}")
    streams = int(found["streams"]) if found["streams"] else None
    return Bound(streams, found["name"], found["comparison"], float(found["limit"]))
