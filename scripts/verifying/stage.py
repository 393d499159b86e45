"""The guests who are there, and an eye on the server (shell)."""

import asyncio
import time
from collections.abc import Callable, Sequence

from scripts.load.material import Stream

from .evidence import Act, Evidence
from .guest import Guest, Wishes
from .look import Look
from .rows import plural
from .survey import CannotRunError, Survey

WATCH_S = 0.5
RELEASE_SLOTS_S = 10.0


class Stage:
    """Where the story is played.

    Args:
        wishes: how sessions are had.
        survey: the server's endpoints.
        show: is called whenever there is something new: with what goes on, and the last look.

    Attributes:
        evidence: what was seen; None before the server was found fit for a story.
        streams: what guests say.
        guests: who is there.
        doing: what goes on, in words.
        last: the last look.
    """

    def __init__(self, wishes: Wishes, survey: Survey, show: Callable[[str, Look], None]) -> None:
        self.survey = survey
        self.evidence: Evidence | None = None
        self.streams: Sequence[Stream] = ()
        self.guests: list[Guest] = []
        self.doing = ""
        self.last: Look | None = None
        self._wishes = wishes
        self._show = show

    @property
    def seen(self) -> Evidence:
        """What was seen, once the story has begun."""
        assert self.evidence is not None
        return self.evidence

    # --- guests ---------------------------------------------------------------------------------------------

    async def enter(self, act: Act) -> Guest:
        """Let one come, and wait until it is ready or refused."""
        before = self.last or self.seen.idle
        stream = self.streams[len(self.guests) % len(self.streams)]
        guest = Guest(self._wishes, len(self.seen.visits) + 1, act, stream)
        self.guests.append(guest)
        await guest.come()
        gpu = before.gpu(gpu_id) if (gpu_id := guest.visit().gpu_id) is not None else None
        if gpu is not None and gpu.weights is not None:
            # Where somebody is ready, weights are; the server's word for that may be a heartbeat old.
            guest.loads = gpu.weights != "device" and not gpu.sessions
        self.keep(guest)
        return guest

    def all_speak(self) -> None:
        """Let everybody speak who is there."""
        for guest in self.guests:
            guest.speak()

    def keep(self, guest: Guest) -> None:
        """Note what a guest has seen so far."""
        visit = self.seen.visits[guest.number] = guest.visit()
        if visit.session:
            self.survey.ours(visit.session)

    async def all_end(self) -> None:
        """End all audio, wait for the last words, and for the slots."""
        self.doing = "the last words"
        for guest in self.guests:
            if guest.visit().ready:
                guest.stop()
        await asyncio.gather(*(guest.gone() if guest.visit().ready else guest.leave() for guest in self.guests))
        await self.leave()

    async def leave(self) -> None:
        """Close whatever is open, and wait until the server has given the slots back."""
        await asyncio.gather(*(guest.leave() for guest in self.guests))
        for guest in self.guests:
            self.keep(guest)
        self.guests.clear()
        deadline_s = time.monotonic() + RELEASE_SLOTS_S
        while count(await self.glance(0.1)) > sum(self.seen.plan.base) and time.monotonic() < deadline_s:
            continue

    # --- looking --------------------------------------------------------------------------------------------

    async def rest(self, deadline_s: float) -> Look:
        """Look until no weights are on a device, as long as the server may take."""
        while not (look := await self.glance(WATCH_S)).resting and look.at_s < deadline_s:
            continue
        return look

    async def glance(self, after_s: float = 0.0) -> Look:
        """Take a look, after a while."""
        await asyncio.sleep(after_s)
        self.last = look = await self.survey.look()
        if self.evidence is not None:
            self.evidence.note_memory(look)
        self._show(self.doing, look)
        return look

    async def watch(self, *, anyway: bool) -> None:
        """Look again and again.

        Raises:
            CannotRunError: somebody else has come, who must not be turned away.
        """
        while True:
            look = await self.glance(WATCH_S)
            strangers = self.survey.strangers(look)
            if strangers and not anyway:
                raise CannotRunError(f"{plural(strangers, 'session')} of others came meanwhile: made room for them")
            for guest in self.guests:
                self.keep(guest)


def count(look: Look) -> int:
    """Return all sessions that the server counts."""
    return sum(gpu.sessions for gpu in look.gpus)
