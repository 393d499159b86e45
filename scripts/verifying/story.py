"""The visits in their order, and an end that leaves nothing behind (shell)."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scripts.load.material import Stream

from .evidence import Act, Evidence
from .figures import alike, grouped
from .guest import Guest, Wishes
from .look import Look
from .plan import make_plan
from .rows import ordinal, plural
from .survey import CannotRunError, Survey

_WATCH_S = 0.5
_SETTLE_S = 2.0
_SINGLE_S = 5.0
_RELEASE_SLOTS_S = 10.0


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
        seen: what was seen; None before the first look.
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
        self.seen: Evidence | None = None
        self.left: int | None = None
        self._wishes = wishes
        self._bounds = bounds
        self._survey = survey
        self._make_streams = streams
        self._streams: Sequence[Stream] = ()
        self._show = show
        self._guests: list[Guest] = []
        self._doing = ""
        self._last: Look | None = None

    async def run(self) -> None:
        """Tell it from start to end; whatever happens, no session stays behind.

        Raises:
            CannotRunError: the server cannot be checked, or not any more.
        """
        seen = await self._begin()
        self.seen = seen
        telling = asyncio.create_task(self._tell(seen))
        watching = asyncio.create_task(self._watch(seen))
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
        others = _count(look) + look.waiting
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
        self._streams = self._make_streams(plan.room + 1)
        self._doing = "waiting until no weights are on a device"
        if not others and not look.resting:
            look = await self._rest(look.at_s + self._bounds.release_s)
        deadline_s = look.at_s + _SETTLE_S  # a worker that has just started has not measured its memory yet
        while any(gpu.memory_gb is None for gpu in look.serving) and look.at_s < deadline_s:
            look = await self._glance(_WATCH_S)
        floor_ms = await self._survey.floor_ms()
        seen = Evidence(plan, look, self._bounds.seconds, self._bounds.release_s, floor_ms=floor_ms)
        self._last = look
        self._show("", look)
        return seen

    async def _tell(self, seen: Evidence) -> None:
        plan = seen.plan
        if await self._single(seen) and await self._open(seen, Act.SPREAD, plan.spread):
            await asyncio.sleep(_SETTLE_S)
            seen.spread = await self._glance()
            if await self._open(seen, Act.FILL, plan.room - plan.spread):
                seen.full = await self._glance()
                await self._surplus(seen)
                self._all_speak()
                self._doing = f"{plural(plan.room, 'session')} speak"
                await asyncio.sleep(seen.seconds)
                seen.speaking = await self._glance()
                await self._newcomer(seen)
        await self._all_end(seen)
        seen.server_setup_ms = await self._survey.setup_ms()
        await self._release(seen)
        await self._again(seen)
        seen.over = True

    async def _single(self, seen: Evidence) -> bool:
        """Let one session come, speak and go; tell whether it was served."""
        self._doing = "one session"
        guest = await self._enter(seen, Act.SINGLE)
        first = guest.visit()
        if first.session is None and first.ended in {"denied", "failed"}:
            raise CannotRunError(f"no session can be opened: {first.problem}")
        seen.single = await self._glance()
        seen.opening.append(seen.single)
        guest.speak()
        if guest.visit().ready:
            await asyncio.sleep(min(seen.seconds / 2, _SINGLE_S))
        await self._all_end(seen)
        await self._glance(_WATCH_S)  # where weights leave at once, the next look must not be older than that
        return guest.visit().ready

    async def _open(self, seen: Evidence, act: Act, count: int) -> bool:
        """Let so many come one after the other, each with a look; stop at one that is not served, and tell.

        Nobody speaks meanwhile, so that setup times can be compared: on a CPU they would be those of the speech.
        """
        for number in range(count):
            self._doing = f"session {len(self._guests) + 1} of {seen.plan.room} comes ({number + 1} of {count} more)"
            guest = await self._enter(seen, act)
            if not guest.visit().ready:
                return False
            seen.opening.append(await self._glance())
        return True

    async def _enter(self, seen: Evidence, act: Act) -> Guest:
        """Let one come, and wait until it is ready or refused."""
        before = self._last or seen.idle
        stream = self._streams[len(self._guests) % len(self._streams)]
        guest = Guest(self._wishes, len(seen.visits) + 1, act, stream)
        self._guests.append(guest)
        await guest.come()
        gpu = before.gpu(gpu_id) if (gpu_id := guest.visit().gpu_id) is not None else None
        if gpu is not None and gpu.weights is not None:
            # Where somebody is ready, weights are; the server's word for that may be a heartbeat old.
            guest.loads = gpu.weights != "device" and not gpu.sessions
        self._keep(seen, guest)
        return guest

    async def _surplus(self, seen: Evidence) -> None:
        """Let one come for whom there is no slot."""
        self._doing = f"the {ordinal(seen.plan.room + 1)} session knocks"
        guest = await self._enter(seen, Act.SURPLUS)
        seen.crowded = await self._glance()
        await guest.leave()
        self._keep(seen, guest)
        self._guests.remove(guest)

    async def _newcomer(self, seen: Evidence) -> None:
        """Let one end and another come in its place, while all others speak."""
        self._doing = "one goes, and another comes while all others speak"
        gone = self._guests[0]
        gone.stop()
        await gone.gone()
        deadline_s = time.monotonic() + _RELEASE_SLOTS_S
        while _count(await self._glance(0.1)) >= seen.plan.total and time.monotonic() < deadline_s:
            continue
        guest = await self._enter(seen, Act.NEWCOMER)
        guest.speak()
        await asyncio.sleep(_SETTLE_S)

    async def _release(self, seen: Evidence) -> None:
        """Wait until memory is returned, as long as it may take."""
        self._doing = "waiting until memory is returned"
        began_s = time.monotonic()
        while True:
            look = await self._glance(_WATCH_S)
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
        self._doing = "setups were not alike: waiting to measure again"
        await self._rest(time.monotonic() + seen.release_s)
        for number in range(seen.plan.spread):
            self._doing = f"setups were not alike: measuring again ({number + 1} of {seen.plan.spread})"
            await self._enter(seen, Act.AGAIN)
            await self._glance()
        await self._leave(seen)

    # --- guests ---------------------------------------------------------------------------------------------

    def _all_speak(self) -> None:
        for guest in self._guests:
            guest.speak()

    def _keep(self, seen: Evidence, guest: Guest) -> None:
        visit = seen.visits[guest.number] = guest.visit()
        if visit.session:
            self._survey.ours(visit.session)

    async def _all_end(self, seen: Evidence) -> None:
        """End all audio, wait for the last words, and for the slots."""
        self._doing = "the last words"
        for guest in self._guests:
            if guest.visit().ready:
                guest.stop()
        await asyncio.gather(*(guest.gone() if guest.visit().ready else guest.leave() for guest in self._guests))
        await self._leave(seen)

    async def _leave(self, seen: Evidence) -> None:
        """Close whatever is open, and wait until the server has given the slots back."""
        await asyncio.gather(*(guest.leave() for guest in self._guests))
        for guest in self._guests:
            self._keep(seen, guest)
        self._guests.clear()
        deadline_s = time.monotonic() + _RELEASE_SLOTS_S
        while _count(await self._glance(0.1)) > sum(seen.plan.base) and time.monotonic() < deadline_s:
            continue

    async def _clear(self, seen: Evidence) -> None:
        """Leave nothing behind, and see that it is so."""
        self._doing = "leaving"
        try:
            await self._leave(seen)
        except CannotRunError:  # a server that is gone has none of our sessions either
            return
        if self._last is not None:
            self.left = max(0, _count(self._last) - sum(seen.plan.base))

    # --- looking --------------------------------------------------------------------------------------------

    async def _rest(self, deadline_s: float) -> Look:
        """Look until no weights are on a device, as long as the server may take."""
        while not (look := await self._glance(_WATCH_S)).resting and look.at_s < deadline_s:
            continue
        return look

    async def _glance(self, after_s: float = 0.0) -> Look:
        await asyncio.sleep(after_s)
        self._last = look = await self._survey.look()
        if self.seen is not None:
            self.seen.note_memory(look)
        self._show(self._doing, look)
        return look

    async def _watch(self, seen: Evidence) -> None:
        """Look again and again.

        Raises:
            CannotRunError: somebody else has come, who must not be turned away.
        """
        while True:
            look = await self._glance(_WATCH_S)
            strangers = self._survey.strangers(look)
            if strangers and not self._bounds.anyway:
                raise CannotRunError(f"{plural(strangers, 'session')} of others came meanwhile: made room for them")
            for guest in self._guests:
                self._keep(seen, guest)


def _count(look: Look) -> int:
    return sum(gpu.sessions for gpu in look.gpus)
