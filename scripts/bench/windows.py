"""What each decode of live speech has to do: how long its window is, and how many tokens it takes (core)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from gpu_worker.recognizer import Recognizer, WindowRequest, WindowResult


@dataclass(frozen=True, slots=True)
class WindowShape:
    """One decode: samples in its window, tokens committed there, drafted, accepted of the draft, and found anew."""

    samples: int
    committed: int
    drafted: int
    accepted: int
    found: int

    @property
    def one_by_one(self) -> int:
        """Return how many passes it takes after the one over the draft: one a token, the end among them."""
        return self.found - self.accepted


def shape(request: WindowRequest, result: WindowResult) -> WindowShape:
    """Return what a decode had to do."""
    samples = len(request.pcm) - request.context
    return WindowShape(samples, len(request.committed), len(request.draft), result.accepted, len(result.tokens))


class Noting:
    """Passes a recognizer's windows on, and notes the shape of each."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.shapes: list[WindowShape] = []
        self.info = recognizer.info
        self.load, self.unload = recognizer.load, recognizer.unload
        self.open, self.close, self.listen = recognizer.open, recognizer.close, recognizer.listen
        self._recognizer = recognizer

    def recognize(self, requests: Sequence[WindowRequest]) -> list[WindowResult | Exception]:
        """Encode and decode."""
        results = self._recognizer.recognize(requests)
        pairs = zip(requests, results, strict=True)
        self.shapes += [shape(asked, found) for asked, found in pairs if isinstance(found, WindowResult)]
        return results


def thinned(shapes: Sequence[WindowShape], most: int) -> list[WindowShape]:
    """Return at most so many, evenly taken."""
    if len(shapes) <= most:
        return list(shapes)
    return [shapes[i * len(shapes) // most] for i in range(most)]


def render(about: Mapping[str, str], by_cadence: Mapping[float, Sequence[WindowShape]]) -> str:
    """Return shapes as JSON, a line a cadence."""
    lines = [
        f'  "{cadence_s:g}": {json.dumps([astuple(each) for each in by_cadence[cadence_s]])}'
        for cadence_s in by_cadence
    ]
    fields = json.dumps(list(WindowShape.__dataclass_fields__))
    return (
        f'{{"about": {json.dumps(dict(about))},\n "fields": {fields},\n "cadences": {{\n'
        + ",\n".join(lines)
        + "\n }}\n"
    )


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
