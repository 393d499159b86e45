"""The visits in their order, and an end that leaves nothing behind (shell)."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scripts.load.material import Stream

from .evidence import Act, Evidence
from .figures import alike, grouped
from .guest import Wishes
from .look import Look
from .plan import make_plan
from .rows import ordinal, plural
from .stage import RELEASE_SLOTS_S, WATCH_S, Stage, count
from .survey import CannotRunError, Survey

_SETTLE_S = 2.0
_SINGLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long things may take.

    Attributes:
        seconds: how long all speak together.
        release_s: how long memory may take to be returned.
        anyway: go on where others have sessions.
    """

    seconds: float
    release_s: float
    anyway: bool


class Story:
    """One run on one server.

    Args:
        wishes: how sessions are had.
        bounds: how long, and whether others are minded.
        survey: the server's endpoints.
        streams: makes so many streams of speech.
        show: is called whenever there is something new: with what goes on, and the last look.

    Attributes:
        left: how many sessions the server still had at the end that were not there before; None if unknown.
    """

    def __init__(
        self,
        wishes: Wishes,
        bounds: Bounds,
        survey: Survey,
        streams: Callable[[int], Sequence[Stream]],
        show: Callable[[str, Look], None],
    ) -> None:
        self.left: int | None = None
        self._bounds = bounds
        self._survey = survey
        self._make_streams = streams
        self._show = show
        self._stage = Stage(wishes, survey, show)

    @property
    def seen(self) -> Evidence | None:
        """What was seen; None before the server was found fit for a story."""
        return self._stage.evidence

    async def run(self) -> None:
        """Tell it from start to end; whatever happens, no session stays behind.

        Raises:
            CannotRunError: the server cannot be checked, or not any more.
        """
        seen = await self._begin()
        self._stage.evidence = seen
        telling = asyncio.create_task(self._tell(seen))
        watching = asyncio.create_task(self._stage.watch(anyway=self._bounds.anyway))
        try:
            await asyncio.wait({telling, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            telling.cancel()
            watching.cancel()
            outcomes = await asyncio.gather(telling, watching, return_exceptions=True)
            await self._clear(seen)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    # --- the acts -------------------------------------------------------------------------------------------

    async def _begin(self) -> Evidence:
        """See whether there is something to check, and let it come to rest."""
        look = await self._survey.look()
        others = count(look) + look.waiting
        if others and not self._bounds.anyway:
            raise CannotRunError(
                f"{plural(others, 'session')} of others on this server: filling it would turn people away "
                "(--anyway does it all the same)"
            )
        try:
            plan = make_plan(look)
        except ValueError as error:
            raise CannotRunError(str(error)) from error
        for name in look.names:
            self._survey.ours(name)
        self._stage.streams = self._make_streams(plan.room + 1)
        self._stage.doing = "waiting until no weights are on a device"
        if not others and not look.resting:
            look = await self._stage.rest(look.at_s + self._bounds.release_s)
        deadline_s = look.at_s + _SETTLE_S  # a worker that has just started has not measured its memory yet
        while any(gpu.memory_gb is None for gpu in look.serving) and look.at_s < deadline_s:
            look = await self._stage.glance(WATCH_S)
        floor_ms = await self._survey.floor_ms()
        seen = Evidence(plan, look, self._bounds.seconds, self._bounds.release_s, floor_ms=floor_ms)
        self._stage.last = look
        self._show("", look)
        return seen

    async def _tell(self, seen: Evidence) -> None:
        plan = seen.plan
        if await self._single(seen):
            half = await self._open(seen, Act.SPREAD, plan.spread)
            await asyncio.sleep(_SETTLE_S)  # by then every worker has measured its memory again
            seen.spread = await self._stage.glance()
            full = half and await self._open(seen, Act.FILL, plan.room - plan.spread)
            seen.full = await self._stage.glance()
            if full:
                await self._surplus(seen)
                await self._speech(seen)
                await self._newcomer(seen)
        await self._stage.all_end()
        seen.server_setup_ms = await self._survey.setup_ms()
        await self._release(seen)
        await self._again(seen)
        seen.over = True

    async def _single(self, seen: Evidence) -> bool:
        """Let one session come, speak and go; tell whether it was served."""
        self._stage.doing = "one session"
        guest = await self._stage.enter(Act.SINGLE)
        first = guest.visit()
        if first.session is None and first.ended in {"denied", "failed"}:
            raise CannotRunError(f"no session can be opened: {first.problem}")
        seen.single = await self._stage.glance()
        seen.opening.append(seen.single)
        guest.speak()
        if guest.visit().ready:
            await asyncio.sleep(min(seen.seconds / 2, _SINGLE_S))
        await self._stage.all_end()
        await self._stage.glance(WATCH_S)  # where weights leave at once, the next look must not be older than that
        return guest.visit().ready

    async def _open(self, seen: Evidence, act: Act, arrivals: int) -> bool:
        """Let so many come one after the other, each with a look; stop at one that is not served, and tell.

        Nobody speaks meanwhile, so that setup times can be compared: on a CPU they would be those of the speech.
        """
        for _ in range(arrivals):
            self._stage.doing = f"session {len(self._stage.guests) + 1} of {seen.plan.room} comes"
            guest = await self._stage.enter(act)
            if not guest.visit().ready:
                return False
            seen.opening.append(await self._stage.glance())
        return True

    async def _surplus(self, seen: Evidence) -> None:
        """Let one come for whom there is no slot."""
        self._stage.doing = f"the {ordinal(seen.plan.room + 1)} session knocks"
        guest = await self._stage.enter(Act.SURPLUS)
        seen.crowded = await self._stage.glance()
        await guest.leave()
        self._stage.keep(guest)
        self._stage.guests.remove(guest)

    async def _speech(self, seen: Evidence) -> None:
        """Let all speak together."""
        self._stage.doing = f"{plural(seen.plan.room, 'session')} speak"
        self._stage.all_speak()
        await asyncio.sleep(seen.seconds)
        seen.speaking = await self._stage.glance()

    async def _newcomer(self, seen: Evidence) -> None:
        """Let one end and another come in its place, while all others speak."""
        self._stage.doing = "one goes, and another comes while all others speak"
        gone = self._stage.guests[0]
        gone.stop()
        await gone.gone()
        deadline_s = time.monotonic() + RELEASE_SLOTS_S
        while count(await self._stage.glance(0.1)) >= seen.plan.total and time.monotonic() < deadline_s:
            continue
        guest = await self._stage.enter(Act.NEWCOMER)
        guest.speak()
        await asyncio.sleep(_SETTLE_S)

    async def _release(self, seen: Evidence) -> None:
        """Wait until memory is returned, as long as it may take."""
        self._stage.doing = "waiting until memory is returned"
        began_s = time.monotonic()
        while True:
            look = await self._stage.glance(WATCH_S)
            returned, waited_s = seen.returned(look), look.at_s - began_s
            done = returned is True or (returned is None and look.resting) or waited_s >= seen.release_s
            if done or (any(look.loads) and self._bounds.anyway):
                seen.released, seen.waited_s = look, waited_s
                return

    async def _again(self, seen: Evidence) -> None:
        """Measure setups a second time, on a server at rest, where they were not alike."""
        groups = grouped(seen.of(Act.SINGLE, Act.SPREAD, Act.FILL))
        if seen.full is None or any(seen.plan.base) or all(alike(times) for times in groups.values()):
            return
        self._stage.doing = "setups were not alike: waiting to measure again"
        await self._stage.rest(time.monotonic() + seen.release_s)
        for number in range(seen.plan.spread):
            self._stage.doing = f"setups were not alike: measuring again ({number + 1} of {seen.plan.spread})"
            await self._stage.enter(Act.AGAIN)
            await self._stage.glance()
        await self._stage.leave()

    async def _clear(self, seen: Evidence) -> None:
        """Leave nothing behind, and see that it is so."""
        self._stage.doing = "leaving"
        try:
            await self._stage.leave()
        except CannotRunError:  # a server that is gone has none of our sessions either
            return
        if self._stage.last is not None:
            self.left = max(0, count(self._stage.last) - sum(seen.plan.base))
