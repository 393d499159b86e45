"""The ROUTER socket, over a real ipc endpoint."""

import stat

import pytest
import zmq
import zmq.asyncio

from gateway.transport.worker_link import WorkerLink
from shared import messages as m
from shared import wire
from tests.gateway.builders import register

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(20)]


@pytest.fixture
async def link(tmp_path):
    """Give a bound link with room for 1000 messages."""
    link = WorkerLink(f"ipc://{tmp_path}/run/workers.sock", 1000)
    link.bind()
    yield link
    link.close()


@pytest.fixture
async def worker(link, tmp_path):
    """Give the socket of one connected worker."""
    with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as worker:
        worker.setsockopt(zmq.IDENTITY, b"gpu0.a")
        worker.setsockopt(zmq.LINGER, 0)
        worker.connect(f"ipc://{tmp_path}/run/workers.sock")
        yield worker


async def test_messages_go_both_ways(link, worker):
    """A worker is known by its identity, and what it sends arrives as it was sent."""
    await worker.send_multipart(wire.encode(register(0)))
    assert await link.receive() == (b"gpu0.a", register(0))
    assert link.send(b"gpu0.a", m.Audio(1, 2, b"\1\2"))
    assert wire.decode(await worker.recv_multipart()) == m.Audio(1, 2, b"\1\2")


async def test_malformed_messages_are_skipped_and_counted(link, worker):
    """Garbage neither raises nor hides the message behind it."""
    for frames in ([b"?"], [b"C", b"\xc1"], [b"", b"", b""], [b"C", b"\x91\x01", b"x"]):
        await worker.send_multipart(frames)
    await worker.send_multipart(wire.encode(m.NoFreeSlot(7)))
    assert await link.receive() == (b"gpu0.a", m.NoFreeSlot(7))
    assert link.malformed_messages == 4


async def test_a_send_never_blocks(link, worker):
    """To an unknown worker it fails at once, to one that reads nothing when the queues are full."""
    assert not link.send(b"gpu9.z", m.Close(1))
    await worker.send_multipart(wire.encode(register(0)))
    identity, _ = await link.receive()
    sent = 0
    while link.send(identity, m.Audio(1, 0, bytes(32_000))) and sent < 50_000:
        sent += 1
    assert 1000 <= sent < 10_000


async def test_the_sockets_folder_is_private(link, tmp_path):
    """Any process that can reach the socket can speak for a worker: other users cannot."""
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
