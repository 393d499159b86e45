"""The sessions that wait for a slot, first come, first served (core)."""

from collections.abc import Callable, Iterator

from gateway.placement.worker_handle import Lease
from gateway.placement.workers import WorkerRegistry
from gateway.sessions.client_session import ClientSession
from gateway.sessions.state import State


class WaitQueue:
    """Waiting sessions, in the order in which they came."""

    def __init__(self, workers: WorkerRegistry) -> None:
        self._waiting: list[ClientSession] = []
        self._workers = workers

    def add(self, client: ClientSession, *, newcomer: bool) -> bool:
        """Have a session wait for a slot; return False if it may not.

        A newcomer may wait only for the first worker since the gateway's start. A session that has had a slot may wait
        while fewer sessions wait than there are slots: a longer queue could not be served in time.
        """
        allowed = not self._workers.ever_served if newcomer else len(self._waiting) < self._workers.known_slots()
        if allowed:
            self._waiting.append(client)
        return allowed

    def remove(self, client: ClientSession) -> None:
        """Take out a session, and those that no longer wait."""
        self._waiting = [each for each in self._waiting if _waits(each) and each is not client]

    def serve(self, acquire: Callable[[ClientSession], Lease | None]) -> Iterator[tuple[ClientSession, Lease]]:
        """Yield each waiting session that gets a slot; one that ``acquire`` has none for lets the next one go first."""
        self._waiting = [each for each in self._waiting if _waits(each)]
        for client in list(self._waiting):
            # With many sessions in the queue there is most often no slot to give: find that out cheaply.
            if not self._workers.with_room():
                return
            if client not in self._waiting or not _waits(client):
                continue  # served or ended while the caller dealt with an earlier one
            lease = acquire(client)
            if lease is not None:
                self._waiting.remove(client)
                yield client, lease

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[ClientSession]:
        return iter(self._waiting)

    def check(self) -> None:
        """Assert what must hold between two calls."""
        assert len(self._waiting) == len({each.session.id for each in self._waiting})


def _waits(client: ClientSession) -> bool:
    return client.session.state is State.WAITING
