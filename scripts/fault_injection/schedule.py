"""Which faults come when, from a seed (core)."""

import enum
import random
from dataclasses import dataclass


class Kind(enum.Enum):
    KILL = "kill"  # a worker gets SIGKILL
    HANG = "hang"  # a worker is stopped for a while
    DRAIN = "drain"  # a worker gets SIGTERM
    CUT = "cut"  # a client's connection is reset


_WEIGHTS = {Kind.KILL: 3, Kind.HANG: 1, Kind.DRAIN: 3, Kind.CUT: 3}
FIRST_S = 5.0
QUIET_END_S = 5.0
"""The first and the last seconds are left alone, so that every fault has a before and an after."""
SHORTEST_S = 2.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; ``choice`` (0 to 1) picks its victim among those there are then."""

    at_s: float
    kind: Kind
    choice: float


def schedule(seed: int, duration_s: float, every_s: float) -> list[Fault]:
    """Return the faults of a run, on average one in ``every_s``, never two within two seconds.

    Each kind comes at least once, as long as there is time for four.
    """
    chance = random.Random(seed)  # noqa: S311 - reproducible, no secret
    faults, at_s, owed = [], FIRST_S, list(Kind)
    chance.shuffle(owed)
    while at_s < duration_s - QUIET_END_S:
        drawn = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        faults.append(Fault(at_s, owed.pop() if owed else drawn, chance.random()))
        at_s += SHORTEST_S + chance.expovariate(1 / max(0.1, every_s - SHORTEST_S))
    return faults


def pick(choice: float, count: int) -> int:
    """Return the index that a choice means among ``count`` victims."""
    return min(count - 1, int(choice * count))
