"""The worker's loop over the model: which sessions a failure ends, and when the weights come and go."""

import asyncio
import itertools
import time
from contextlib import asynccontextmanager

import pytest

from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.serving.device_memory import CpuMemory
from gpu_worker.serving.gateway_link import Gateway
from gpu_worker.serving.heartbeat import Heartbeater
from gpu_worker.serving.model_executor import ModelExecutor
from gpu_worker.serving.pacing import StepPacer
from gpu_worker.serving.request_handler import RequestHandler
from gpu_worker.serving.scheduler import STOP_AFTER_FAILURES, StepScheduler
from gpu_worker.serving.slots import SlotTable
from shared import messages as m
from tests.gateway.builders import register
from tests.scripted_recognizer import POISON, ScriptedRecognizer, say

pytestmark = pytest.mark.anyio

SPEECH = say(["river", "stone", "cloud", "green", "window"] * 4).pcm.tobytes()
POISONED = say([POISON, *["river"] * 9]).pcm.tobytes()


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Broken(ScriptedRecognizer):
    """Raises in place of every decode."""

    def transcribe(self, requests):
        raise RuntimeError("this device is broken")


class Link:
    """The socket to a gateway: takes requests from a test, keeps what is sent."""

    endpoint = "here"

    def __init__(self) -> None:
        self.sent = []
        self.requests: asyncio.Queue = asyncio.Queue()

    def send(self, message) -> bool:
        self.sent.append(message)
        return True

    async def receive(self):
        return await self.requests.get()

    def of(self, kind, lease) -> list:
        """Return the messages of a kind about a lease."""
        return [message for message in self.sent if isinstance(message, kind) and message.lease == lease]


@asynccontextmanager
async def worker(recognizer, unload_s=-1.0):
    """A worker with one gateway, all but its process and its sockets; yields the link, the stop event, the model."""
    link, stop, clock = Link(), asyncio.Event(), time.monotonic
    gateways, table, pacer = [Gateway(link, clock())], SlotTable(4, PolicySettings()), StepPacer(0.5, 2.0)
    model = ModelExecutor(recognizer, clock)
    handler = RequestHandler(gateways, table, model, register(0, boot="b1"), clock)
    heartbeater = Heartbeater(
        gateways, table, pacer, model, CpuMemory(), lost_after_s=9.0, free_slots=handler.free_slots, clock=clock
    )
    steps = StepScheduler(
        recognizer,
        model,
        table,
        pacer=pacer,
        handler=handler,
        heartbeater=heartbeater,
        batch=8,
        unload_s=unload_s,
        clock=clock,
    )
    tasks = [asyncio.create_task(handler.receive(0)), asyncio.create_task(steps.run(stop))]
    try:
        yield link, stop, model
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        model.close()
        table.check()


def talk(link, lease, pcm) -> None:
    """Open a session and say all of it at once."""
    for message in (
        m.Open(lease, f"s{lease}", "en", "transcribe", 0, None),
        m.Audio(lease, 0, pcm),
        m.Finish(lease, len(pcm) // 2),
    ):
        link.requests.put_nowait(message)


async def eventually(condition) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_session_is_opened_transcribed_and_finished():
    """Its gateway gets the words in order, then the end, once each."""
    async with worker(ScriptedRecognizer()) as (link, _, model):
        talk(link, 1, SPEECH)
        await eventually(lambda: link.of(m.Finished, 1))
        words = [word.text for message in link.of(m.Hypothesis, 1) for word in message.words]
        assert "".join(words).split() == ["river", "stone", "cloud", "green", "window"] * 4
        assert len(link.of(m.Opened, 1)) == 1
        assert model.weights == "device"


async def test_a_failure_ends_its_session_alone():
    """Of two sessions in the same steps the one whose window raises gets the reason; the other is finished."""
    async with worker(ScriptedRecognizer()) as (link, stop, _):
        talk(link, 1, POISONED)
        talk(link, 2, SPEECH)
        await eventually(lambda: link.of(m.StreamFailed, 1) and link.of(m.Finished, 2))
        [failed] = link.of(m.StreamFailed, 1)
        assert failed.reason == "RuntimeError: the scripted recognizer was given poison"
        assert not link.of(m.Finished, 1)
        assert not link.of(m.StreamFailed, 2)
        assert not stop.is_set()


async def test_a_step_that_raises_ends_its_sessions_and_in_the_end_the_worker():
    """Every session of a broken step fails; after some failures in a row without a success the worker stops itself."""
    async with worker(Broken()) as (link, stop, _):
        for lease in itertools.count(1):
            talk(link, lease, SPEECH)
            await eventually(lambda lease=lease: link.of(m.StreamFailed, lease))
            if lease == STOP_AFTER_FAILURES - 1:
                assert not stop.is_set()
            if lease == STOP_AFTER_FAILURES:
                break
        assert stop.is_set()


async def test_idle_weights_are_unloaded():
    """Some time after the last session they are unloaded, and the next session has them loaded again."""
    recognizer = ScriptedRecognizer()
    async with worker(recognizer, unload_s=0.05) as (link, _, model):
        talk(link, 1, SPEECH)
        await eventually(lambda: link.of(m.Finished, 1))
        await eventually(lambda: model.weights == "host")
        assert not recognizer.loaded
        talk(link, 2, SPEECH)
        await eventually(lambda: link.of(m.Finished, 2))


async def test_a_session_closed_during_a_step_gets_no_answer():
    """What goes wrong in a step for a session that has gone meanwhile ends nothing; the model forgets its stream."""
    recognizer = ScriptedRecognizer(step_s=0.2)
    async with worker(recognizer) as (link, _, model):
        talk(link, 1, POISONED)
        await eventually(lambda: model.step_s > 0.05)
        link.requests.put_nowait(m.Close(1))
        await eventually(lambda: link.of(m.Opened, 1) and not recognizer.opened)
        assert not link.of(m.Hypothesis, 1)
        assert not link.of(m.StreamFailed, 1)
