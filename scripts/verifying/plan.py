"""What a server ought to do, from its GPUs and slots (core)."""

from collections.abc import Sequence
from dataclasses import dataclass

from .look import Look

HEALTHY_BELOW_PERCENT = 70.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The server as it was found: who serves, and what others already have there.

    Attributes:
        gpus: the numbers of the serving GPUs.
        slots: how many sessions each takes.
        base: how many each already has, of other people.
    """

    gpus: tuple[int, ...]
    slots: tuple[int, ...]
    base: tuple[int, ...]

    @property
    def total(self) -> int:
        """All slots."""
        return sum(self.slots)

    @property
    def room(self) -> int:
        """The sessions that fit: so many of ours fill the server."""
        return self.total - sum(self.base)

    @property
    def spread(self) -> int:
        """The sessions of the second test: so many fill half of the slots, two of a GPU's four."""
        return min(self.room, max(1, self.total // 2 - sum(self.base)))

    def loads(self, count: int) -> tuple[int, ...]:
        """Return where so many sessions of ours lead: each goes to the least-loaded GPU, then to the lowest number."""
        loads = list(self.base)
        for _ in range(count):
            free = [index for index, load in enumerate(loads) if load < self.slots[index]]
            if not free:
                break
            loads[min(free, key=lambda index: (loads[index], index))] += 1
        return tuple(loads)

    def share_percent(self, count: int) -> float:
        """Return the share of the slots in use with so many sessions of ours."""
        return 100.0 * (sum(self.base) + count) / self.total

    def uneven(self, loads: Sequence[int]) -> int:
        """Return by how much a GPU has more sessions than another one that still has room, beyond what others have."""
        pairs = list(zip(loads, self.slots, strict=True))
        open_loads = [load for load, slots in pairs if load < slots]
        return max((load for load, _ in pairs), default=0) - min(open_loads) if open_loads else 0


def make_plan(look: Look) -> Plan:
    """Plan for the serving GPUs.

    Raises:
        ValueError: nothing serves, or no slot is free; the message is one line.
    """
    serving = look.serving
    plan = Plan(
        tuple(gpu.gpu_id for gpu in serving),
        tuple(gpu.slots for gpu in serving),
        look.loads,
    )
    if not plan.total:
        raise ValueError("no GPU worker serves")
    if plan.room < 1:
        raise ValueError("no slot is free")
    return plan
