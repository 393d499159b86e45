"""What each decode of live speech had to do: how long its window is, and how many tokens it takes (core)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields

from gpu_worker.recognizer import WindowRequest, WindowResult


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
        """Return what a decode had to do."""
        samples = len(request.pcm) - request.context
        return cls(samples, len(request.committed), len(request.draft), result.accepted, len(result.tokens))

    @property
    def one_by_one(self) -> int:
        """Return how many passes it takes after the one over the draft: one a token, the end among them."""
        return self.found - self.accepted


def thinned(shapes: Sequence[WindowShape], most: int) -> list[WindowShape]:
    """Return ``most`` of them at most, evenly taken."""
    if len(shapes) <= most:
        return list(shapes)
    return [shapes[i * len(shapes) // most] for i in range(most)]


def render(about: Mapping[str, str], by_cadence: Mapping[float, Sequence[WindowShape]]) -> str:
    """Return shapes as JSON, a line a cadence."""
    names = [each.name for each in fields(WindowShape)]
    lines = ",\n".join(
        f'  "{cadence_s:g}": {json.dumps([astuple(each) for each in shapes])}'
        for cadence_s, shapes in by_cadence.items()
    )
    head = f'{{"about": {json.dumps(dict(about))},\n "fields": {json.dumps(names)}'
    return f'{head},\n "cadences": {{\n{lines}\n }}}}\n'


def parse(text: str) -> dict[float, list[WindowShape]]:
    """Return the shapes of a JSON text by cadence in seconds.

    Raises:
        ValueError: it is something else.
    """
    try:
        found = {
            float(cadence): [WindowShape(*map(int, each)) for each in shapes]
            for cadence, shapes in json.loads(text)["cadences"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"these are no windows: {error!r}") from error
    if not found or not all(found.values()):
        raise ValueError("there are no windows in it")
    return found
