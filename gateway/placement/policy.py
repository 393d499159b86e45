"""The rules of placement, as functions of what is known at one moment (core)."""

from collections.abc import Collection, Iterable, Sequence

from gateway.placement.worker_handle import WorkerHandle
from gateway.sessions.poison import PoisonDetector

FAILING_AFTER = 2
"""This many failed streams in a row speak against the worker, not against the streams."""


def choose_worker(candidates: Collection[WorkerHandle], *, avoid: Collection[str], hurry: bool) -> WorkerHandle | None:
    """Return the worker that gets a session, of those with a free slot; None if there are none.

    The criteria, the most important first: not in ``avoid``; not failing, because a worker on which everything fails
    always has the most room and would draw all sessions to it; with ``hurry``, weights already on the device (the
    rebalancer evens out the loads later); fewest slots in use; lowest GPU number.
    """
    return min(
        candidates,
        key=lambda worker: (
            worker.name in avoid,
            worker.failures >= FAILING_AFTER,
            hurry and not worker.has_weights,
            worker.used(),
            worker.gpu_id,
            worker.name,
        ),
        default=None,
    )


def most_overloaded(serving: Sequence[WorkerHandle], with_room: Iterable[WorkerHandle]) -> WorkerHandle | None:
    """Return the fullest worker if it has at least two sessions more than another that would take one."""
    free = [worker.used() for worker in with_room if worker.failures < FAILING_AFTER]
    if not free:
        return None
    fullest = max(serving, key=lambda worker: (worker.used(), -worker.gpu_id))
    return fullest if fullest.used() - min(free) >= 2 and fullest.leases else None


def isolate_suspects(
    detector: PoisonDetector, others: Iterable[tuple[str, PoisonDetector]], with_room: frozenset[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the workers that a session should avoid, and of those that it must not get.

    A session is a suspect if workers have died while they decoded its audio. Two suspects on one worker are avoided,
    but allowed if nothing else is free. Forbidden is only that a suspect on its last chance shares a worker with
    another suspect: it would be ended for what the other one did.

    Args:
        detector: the session's.
        others: every session that holds a lease: the worker's name, and its detector.
        with_room: names of the workers that have a free slot.
    """
    if not detector.suspected:
        return detector.workers, frozenset()
    others = list(others)
    suspects = {worker for worker, each in others if each.suspected}
    on_last_chance = {worker for worker, each in others if each.on_last_chance}
    barred = suspects if detector.on_last_chance else on_last_chance
    # The last chance is better spent on a worker that the session has not seen fail, even if it has to wait for one.
    if detector.on_last_chance and with_room - detector.workers:
        barred |= detector.workers
    return detector.workers | suspects, frozenset(barred)
