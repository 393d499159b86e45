"""Whether a session's own audio is what its workers die of."""

MAX_DEATHS = 3
"""Leases that die over the same audio before the session itself is held to be the cause."""
MAX_LOSSES = 6
"""The same, with those counted whose worker is silent, but whose process is still there: most often it is slow."""


class Suspicion:
    """The deaths over audio that a session has not got past since."""

    def __init__(self) -> None:
        self._deaths = 0
        self._silences = 0
        self._until = 0  # the audio that the first of them may be due to
        self._workers: set[str] = set()

    @property
    def losses(self) -> int:
        """Return how many there are, of both kinds."""
        return self._deaths + self._silences

    @property
    def present(self) -> bool:
        """Tell whether a lease has died over audio that the session has not got past since."""
        return self.losses > 0

    @property
    def workers(self) -> frozenset[str]:
        """Return the workers that have died over that audio."""
        return frozenset(self._workers)

    @property
    def on_trial(self) -> bool:
        """Tell whether one more death ends the session: it must not share that with another suspect."""
        return self._deaths == MAX_DEATHS - 1 or self.losses == MAX_LOSSES - 1

    @property
    def proven(self) -> bool:
        """Tell whether the session is held to be the cause."""
        return self._deaths >= MAX_DEATHS or self.losses >= MAX_LOSSES

    def lost(self, worker: str, received: int, *, died: bool) -> None:
        """Note that a worker died, or only fell silent, with this much of the session's audio received."""
        self._until = self._until if self.losses else received
        if died:
            self._deaths += 1
        else:
            self._silences += 1
        self._workers.add(worker)

    def passed(self, decoded: int) -> None:
        """Note how far the audio is decoded. To get a little further is no proof: where steps end differs."""
        if decoded >= self._until:
            self.acquit()

    def acquit(self) -> None:
        """Forget earlier deaths: the audio that they may have been due to has done no harm."""
        self._deaths = self._silences = 0
        self._workers.clear()

    def pardon(self, worker: str) -> None:
        """The worker was taken for dead and lives: the session has not killed it."""
        if self._silences and worker in self._workers:
            self._silences -= 1
            self._workers.discard(worker)
