"""Whether a session's own audio is what its workers die of."""

MAX_DEATHS = 3
"""Leases that die over the same audio before the session itself is held to be the cause."""


class Suspicion:
    """The deaths over audio that a session has not got past since."""

    def __init__(self) -> None:
        self.deaths = 0
        self._until = 0  # the audio that the first of them may be due to
        self._workers: set[str] = set()

    @property
    def present(self) -> bool:
        """Tell whether a lease has died over audio that the session has not got past since."""
        return self.deaths > 0

    @property
    def workers(self) -> frozenset[str]:
        """Return the workers that have died over that audio."""
        return frozenset(self._workers)

    @property
    def on_trial(self) -> bool:
        """Tell whether one more death ends the session: it must not share that with another suspect."""
        return self.deaths == MAX_DEATHS - 1

    @property
    def proven(self) -> bool:
        """Tell whether the session is held to be the cause."""
        return self.deaths >= MAX_DEATHS

    def died(self, worker: str, received: int) -> None:
        """Note that a worker died with this much of the session's audio received."""
        self._until = self._until if self.deaths else received
        self.deaths += 1
        self._workers.add(worker)

    def passed(self, decoded: int) -> None:
        """Note how far the audio is decoded. To get a little further is no proof: where steps end differs."""
        if decoded >= self._until:
            self.acquit()

    def acquit(self) -> None:
        """Forget earlier deaths: the audio that they may have been due to has done no harm."""
        self.deaths = 0
        self._workers.clear()

    def pardon(self, worker: str) -> None:
        """The worker was taken for dead and lives: the session has not killed it."""
        if self.deaths and worker in self._workers:
            self.deaths -= 1
            self._workers.discard(worker)
