"""Whether a session's own audio is what kills its workers."""

MAX_DEATHS = 3
"""After this many deaths of workers over the same audio, the audio is taken for the cause."""
MAX_LOSSES = 6
"""The same for deaths and silences together. A worker that is silent while its process is there is most often only
slow, so silences alone must be more before they prove anything."""


class PoisonDetector:
    """The losses of workers over audio that the session has not got past since."""

    def __init__(self) -> None:
        self._deaths = 0
        self._silences = 0
        self._suspect_until = 0  # the end of the audio that the first loss may be due to
        self._workers: set[str] = set()

    @property
    def losses(self) -> int:
        """Return the number of deaths and silences."""
        return self._deaths + self._silences

    @property
    def suspected(self) -> bool:
        """Return True if there has been a loss over audio that the session has not got past since."""
        return self.losses > 0

    @property
    def workers(self) -> frozenset[str]:
        """Return the names of the workers that were lost over that audio."""
        return frozenset(self._workers)

    @property
    def on_last_chance(self) -> bool:
        """Return True if one more death ends the session."""
        return self._deaths == MAX_DEATHS - 1 or self.losses == MAX_LOSSES - 1

    @property
    def proven(self) -> bool:
        """Return True if the audio is taken for the cause."""
        return self._deaths >= MAX_DEATHS or self.losses >= MAX_LOSSES

    def note_loss(self, worker: str, received: int, *, died: bool) -> None:
        """Note that a worker died, or only fell silent, with this much of the session's audio received."""
        self._suspect_until = self._suspect_until if self.losses else received
        if died:
            self._deaths += 1
        else:
            self._silences += 1
        self._workers.add(worker)

    def note_progress(self, decoded: int) -> None:
        """Note how far the audio is decoded, and forget the losses once that is past what they may be due to.

        A little further than the last time proves nothing: another worker's steps end at other samples.
        """
        if decoded >= self._suspect_until:
            self.reset()

    def reset(self) -> None:
        """Forget the losses: the audio that they may have been due to has done no harm since."""
        self._deaths = self._silences = 0
        self._workers.clear()

    def retract(self, worker: str) -> None:
        """Take back a silence of this worker: it is alive."""
        if self._silences and worker in self._workers:
            self._silences -= 1
            self._workers.discard(worker)
