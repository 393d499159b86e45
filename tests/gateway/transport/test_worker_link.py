"""The ROUTER socket, over a real ipc endpoint: who can be reached, and noise that is passed over."""

import asyncio
import stat

import pytest
import zmq
import zmq.asyncio

from gateway.transport.worker_link import WorkerLink
from shared import messages as m
from shared import wire
from tests.gateway.builders import register


@pytest.fixture
def endpoint(tmp_path):
    return f"ipc://{tmp_path}/run/workers.sock"


def connected(test, endpoint):
    """Run a test with a bound link and one connected worker's socket."""

    async def run():
        link = WorkerLink(endpoint, 1000)
        link.bind()
        context = zmq.asyncio.Context()
        worker = context.socket(zmq.DEALER)
        worker.setsockopt(zmq.IDENTITY, b"gpu0.a")
        worker.setsockopt(zmq.LINGER, 0)
        worker.connect(endpoint)
        try:
            async with asyncio.timeout(20):
                await test(link, worker)
        finally:
            worker.close()
            context.term()
            link.close()

    asyncio.run(run())


def test_messages_go_both_ways(endpoint):
    """A worker is known by its identity, and what it sends arrives as it was sent."""

    async def test(link, worker):
        await worker.send_multipart(wire.encode(register(0)))
        identity, message = await link.receive()
        assert (identity, message) == (b"gpu0.a", register(0))
        assert link.send(identity, m.Audio(1, 2, b"\1\2"))
        assert wire.decode(await worker.recv_multipart()) == m.Audio(1, 2, b"\1\2")

    connected(test, endpoint)


def test_noise_is_passed_over_and_counted(endpoint):
    """Garbage from a socket neither raises nor hides the message behind it."""

    async def test(link, worker):
        for frames in ([b"?"], [b"C", b"\xc1"], [b"", b"", b""], [b"C", b"\x91\x01", b"x"]):
            await worker.send_multipart(frames)
        await worker.send_multipart(wire.encode(m.NoFreeSlot(7)))
        assert await link.receive() == (b"gpu0.a", m.NoFreeSlot(7))
        assert link.malformed_messages == 4

    connected(test, endpoint)


def test_nobody_cannot_be_reached(endpoint):
    """A send to an unknown worker says so at once."""

    async def test(link, worker):
        assert not link.send(b"gpu9.z", m.Close(1))

    connected(test, endpoint)


def test_a_worker_that_reads_nothing_is_found_out(endpoint):
    """Sends never block: when the queues are full the next one says so."""

    async def test(link, worker):
        await worker.send_multipart(wire.encode(register(0)))
        identity, _ = await link.receive()
        sent = 0
        while link.send(identity, m.Audio(1, 0, bytes(32_000))) and sent < 50_000:
            sent += 1
        assert 1000 <= sent < 10_000

    connected(test, endpoint)


def test_the_sockets_folder_is_our_own(endpoint, tmp_path):
    """Whoever may reach the socket may speak for a worker: its folder is closed to others."""

    async def test(link, worker):
        mode = stat.S_IMODE((tmp_path / "run").stat().st_mode)
        assert mode == 0o700

    connected(test, endpoint)
