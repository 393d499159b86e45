"""All lines of the result, from the evidence so far (core)."""

from . import figures, placing
from .evidence import Evidence
from .rows import Row, Verdict


def judge(seen: Evidence) -> tuple[Row, ...]:
    """Return the guide's three tests, five checks and six criteria, then what its text asks for besides."""
    return (
        placing.single(seen),
        placing.spread(seen),
        placing.limit(seen),
        placing.distribution(seen),
        figures.memory(seen),
        figures.consistency(seen),
        placing.health(seen),
        placing.enforcement(seen),
        placing.evenness(seen),
        figures.memory_in_use(seen),
        figures.setup(seen),
        placing.wellness(seen),
        placing.rejection(seen),
        figures.release(seen),
        figures.connecting(seen),
        figures.newcomer(seen),
        figures.wholeness(seen),
    )


def good(rows: tuple[Row, ...]) -> bool:
    """Tell whether all checks that can be made were made, and none failed."""
    return all(row.verdict in {Verdict.PASS, Verdict.NONE} for row in rows)
