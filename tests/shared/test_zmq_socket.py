"""Two sockets on one event loop: nothing lies unseen, nothing waits, and a closed socket is an error."""

import asyncio

import pytest
import zmq

from shared.zmq_socket import Context, ZmqSocket


def on_a_loop(test):
    """Run an asynchronous test with a ROUTER and a DEALER that are joined."""

    def run(tmp_path):
        async def joined():
            context = Context()
            router = ZmqSocket(zmq.ROUTER, {zmq.LINGER: 0, zmq.ROUTER_MANDATORY: 1}, context)
            dealer = ZmqSocket(zmq.DEALER, {zmq.LINGER: 0, zmq.IDENTITY: b"d", zmq.SNDHWM: 5000}, context)
            router.bind(f"ipc://{tmp_path}/socket")
            dealer.connect(f"ipc://{tmp_path}/socket")
            try:
                async with asyncio.timeout(20):
                    await test(router, dealer)
            finally:
                for socket in (router, dealer):
                    socket.close()
                context.term()

        asyncio.run(joined())

    run.__doc__, run.__name__ = test.__doc__, test.__name__
    return run


@on_a_loop
async def test_answers_cross_without_a_pause(router, dealer):
    """Each side sends while the other's message may be on its way, thousands of times: none is overlooked."""

    async def echo():
        while True:
            identity, body = await router.receive()
            assert router.send([identity, body])

    echoing = asyncio.create_task(echo())
    for number in range(3000):
        dealer.send([b"%d" % number])
        if number % 3:
            dealer.send([b"and %d" % number])
            assert await dealer.receive() == [b"%d" % number]
            assert await dealer.receive() == [b"and %d" % number]
        else:
            assert await dealer.receive() == [b"%d" % number]
    echoing.cancel()


@on_a_loop
async def test_nobody_there_is_said_at_once(router, dealer):
    """A peer that is not known cannot be reached; one that is, can."""
    assert not router.send([b"nobody", b"hello"])
    dealer.send([b"here"])
    assert await router.receive() == [b"d", b"here"]
    assert router.send([b"d", b"hello"])
    assert await dealer.receive() == [b"hello"]


@on_a_loop
async def test_a_flood_leaves_the_loop_its_turns(router, dealer):
    """While a thousand messages are received one after another, something else runs too."""
    for number in range(1000):
        dealer.send([b"%d" % number])
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    assert (await router.receive())[1] == b"0"
    await asyncio.sleep(0.2)
    task = asyncio.create_task(other())
    for number in range(1, 1000):
        assert (await router.receive())[1] == b"%d" % number
    task.cancel()
    assert turns >= 5


@on_a_loop
async def test_a_closed_socket_is_an_error(router, dealer):
    """A task that receives is told when the socket is closed under it."""
    receiving = asyncio.create_task(router.receive())
    await asyncio.sleep(0.05)
    router.close()
    with pytest.raises(zmq.ZMQError):
        await receiving
    assert not router.send([b"d", b"hello"])
