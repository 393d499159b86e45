"""Have the sessions in their order, look at the server all the while, and leave no session behind."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scripts.tools.corpus import Stream, make_streams, shipped_clips
from scripts.tools.driver import SessionSettings
from scripts.tools.server_api import ServerApi

from .evidence import OPENED, Evidence, Look, Phase, make_plan
from .figures import alike, setup_times
from .findings import ordinal, plural
from .observer import CannotRunError, Observer
from .session import Session

_WATCH_S = 0.5
_SETTLE_S = 2.0
_SINGLE_S = 5.0
_RELEASE_SLOTS_S = 10.0
_Show = Callable[[str, Look, Evidence | None], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long all speak, memory may take to be returned, a session may take; ``anyway``: though others may suffer."""

    seconds: float
    release_s: float
    ready_s: float
    anyway: bool


class Runner:
    """One run on one server; ``show`` is called at each look, with what goes on."""

    def __init__(self, api: ServerApi, settings: SessionSettings, limits: Limits, show: _Show) -> None:
        self.seen: Evidence | None = None  # before the server was found fit to be checked
        self.left: int | None = None  # how many sessions more than before the server had at the end
        self._observer = Observer(api)
        self._settings = settings
        self._limits = limits
        self._show = show
        self._streams: Sequence[Stream] = ()
        self._sessions: list[Session] = []
        self._doing = ""
        self._last: Look | None = None

    async def run(self) -> None:
        """Make all measurements; whatever happens, no session stays behind."""
        seen = self.seen = await self._begin()
        tasks = {asyncio.create_task(self._measure(seen)), asyncio.create_task(self._watch(seen))}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            await self._clear(seen)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _begin(self) -> Evidence:
        look = await self._observer.look()
        others = look.sessions + look.waiting
        if others and not self._limits.anyway:
            raise CannotRunError(
                f"{plural(others, 'session')} of others on this server: filling it would turn people away "
                "(--anyway does it all the same)"
            )
        try:
            plan = make_plan(look)
        except ValueError as error:
            raise CannotRunError(str(error)) from error
        self._observer.known |= look.names
        self._streams = make_streams(shipped_clips(), plan.room + 1, None)
        self._doing = "waiting until no weights are on a device"
        if not others and not look.resting:
            look = await self._rest(look.at_s + self._limits.release_s)
        deadline_s = look.at_s + _SETTLE_S  # a worker that has just started has not measured its memory yet
        while any(gpu.allocated_memory_gb is None for gpu in look.serving) and look.at_s < deadline_s:
            look = await self._look(_WATCH_S)
        seen = Evidence(plan, look, self._limits.release_s, floor_ms=await self._observer.floor_ms())
        self._last = look
        self._show("", look, seen)
        return seen

    async def _measure(self, seen: Evidence) -> None:
        plan = seen.plan
        if await self._single(seen):
            half = await self._fill(seen, Phase.SPREAD, plan.spread)
            await asyncio.sleep(_SETTLE_S)  # by then every worker has measured its memory again
            seen.looks["spread"] = await self._look()
            full = half and await self._fill(seen, Phase.FILL, plan.room - plan.spread)
            seen.looks["full"] = await self._look()
            if full:
                await self._surplus(seen)
                self._doing = f"{plural(plan.room, 'session')} speak"
                for session in self._sessions:
                    session.speak()
                await asyncio.sleep(self._limits.seconds)
                seen.looks["speaking"] = await self._look()
                await self._newcomer(seen)
        await self._finish_all(seen)
        seen.server_setup_ms = await self._observer.setup_ms()
        await self._release(seen)
        await self._again(seen)
        seen.over = True

    async def _single(self, seen: Evidence) -> bool:
        self._doing = "one session"
        session = await self._open(seen, Phase.SINGLE)
        first = session.record()
        if first.session is None and first.ended in {"denied", "failed"}:
            raise CannotRunError(f"no session can be opened: {first.problem}")
        seen.looks["single"] = await self._look()
        seen.opening.append(seen.looks["single"])
        session.speak()
        if session.record().ready:
            await asyncio.sleep(min(self._limits.seconds / 2, _SINGLE_S))
        await self._finish_all(seen)
        await self._look(_WATCH_S)  # where weights leave at once, the next look must not be older than that
        return session.record().ready

    async def _fill(self, seen: Evidence, phase: Phase, arrivals: int) -> bool:
        """Open sessions one after the other, each with a look; stop at one that is not served, and return False.

        None speaks meanwhile, so that setup times can be compared: on a CPU they would be those of the speech.
        """
        for _ in range(arrivals):
            self._doing = f"session {len(self._sessions) + 1} of {seen.plan.room} comes"
            if not (await self._open(seen, phase)).record().ready:
                return False
            seen.opening.append(await self._look())
        return True

    async def _surplus(self, seen: Evidence) -> None:
        self._doing = f"the {ordinal(seen.plan.room + 1)} session knocks"
        session = await self._open(seen, Phase.SURPLUS)
        seen.looks["crowded"] = await self._look()
        await session.leave()
        self._keep(seen, session)
        self._sessions.remove(session)

    async def _newcomer(self, seen: Evidence) -> None:
        self._doing = "one goes, and another comes while all others speak"
        await self._sessions[0].finish()
        await self._wait_for_slots(seen.plan.total - 1)
        (await self._open(seen, Phase.NEWCOMER)).speak()
        await asyncio.sleep(_SETTLE_S)

    async def _release(self, seen: Evidence) -> None:
        self._doing = "waiting until memory is returned"
        began_s = time.monotonic()
        while True:
            look = await self._look(_WATCH_S)
            returned, waited_s = seen.returned(look), look.at_s - began_s
            done = returned is True or (returned is None and look.resting) or waited_s >= seen.release_s
            if done or (any(look.loads) and self._limits.anyway):
                seen.looks["released"], seen.waited_s = look, waited_s
                return

    async def _again(self, seen: Evidence) -> None:
        """Measure setups a second time, on a server at rest, where they were not alike."""
        groups = setup_times(seen.of(*OPENED))
        if seen.look("full") is None or any(seen.plan.base) or all(alike(times) for times in groups.values()):
            return
        self._doing = "setups were not alike: waiting to measure again"
        await self._rest(time.monotonic() + seen.release_s)
        for number in range(seen.plan.spread):
            self._doing = f"setups were not alike: measuring again ({number + 1} of {seen.plan.spread})"
            await self._open(seen, Phase.AGAIN)
            await self._look()
        await self._leave_all(seen)

    async def _clear(self, seen: Evidence) -> None:
        self._doing = "leaving"
        try:
            await self._leave_all(seen)
        except CannotRunError:  # a server that is gone has none of our sessions either
            return
        if self._last is not None:
            self.left = max(0, self._last.sessions - sum(seen.plan.base))

    async def _open(self, seen: Evidence, phase: Phase) -> Session:
        before = (self._last or seen.idle).status
        stream = self._streams[len(self._sessions) % len(self._streams)]
        session = Session(self._settings, len(seen.records) + 1, phase, stream)
        self._sessions.append(session)
        await session.open(self._limits.ready_s)
        gpu_id = session.record().gpu_id
        gpu = before.worker(gpu_id) if gpu_id is not None else None
        if gpu is not None and gpu.weights is not None:
            # Where a session is ready, weights are; the server's word for that may be a heartbeat old.
            session.loads = gpu.weights != "device" and not gpu.active_connections
        self._keep(seen, session)
        return session

    def _keep(self, seen: Evidence, session: Session) -> None:
        record = seen.records[session.number] = session.record()
        if record.session:
            self._observer.known.add(record.session)

    async def _finish_all(self, seen: Evidence) -> None:
        self._doing = "the last words"
        await asyncio.gather(*(each.finish() if each.record().ready else each.leave() for each in self._sessions))
        await self._leave_all(seen)

    async def _leave_all(self, seen: Evidence) -> None:
        """Close every session that is open, and wait until the server has given the slots back."""
        await asyncio.gather(*(session.leave() for session in self._sessions))
        for session in self._sessions:
            self._keep(seen, session)
        self._sessions.clear()
        await self._wait_for_slots(sum(seen.plan.base))

    async def _wait_for_slots(self, used: int) -> None:
        deadline_s = time.monotonic() + _RELEASE_SLOTS_S
        while (await self._look(0.1)).sessions > used and time.monotonic() < deadline_s:
            continue

    async def _watch(self, seen: Evidence) -> None:
        while True:
            look = await self._look(_WATCH_S)
            strangers = self._observer.strangers(look)
            if strangers and not self._limits.anyway:
                raise CannotRunError(f"{plural(strangers, 'session')} of others came meanwhile: made room for them")
            for session in self._sessions:
                self._keep(seen, session)

    async def _rest(self, deadline_s: float) -> Look:
        while not (look := await self._look(_WATCH_S)).resting and look.at_s < deadline_s:
            continue
        return look

    async def _look(self, after_s: float = 0.0) -> Look:
        await asyncio.sleep(after_s)
        self._last = look = await self._observer.look()
        if self.seen is not None:
            self.seen.note_memory(look)
        self._show(self._doing, look, self.seen)
        return look
