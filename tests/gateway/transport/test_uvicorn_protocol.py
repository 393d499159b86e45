"""Our WebSocket protocol class for uvicorn: what breaks the protocol is refused, and the client sees why."""

import asyncio
import contextlib
import logging
import socket
import time

import pytest
import uvicorn
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from gateway import __main__
from gateway.transport import uvicorn_protocol
from gateway.transport.client_connection import BY_CLOSE_FRAME, TOO_BIG_BYTES
from gateway.transport.uvicorn_protocol import Protocol, UnfitServerError, self_test

MOST_BYTES = 100_000


class Application:
    """Answers the size of each message, and keeps the disconnect event."""

    def __init__(self) -> None:
        self.gone: dict | None = None
        self.ended = asyncio.Event()

    async def __call__(self, scope, receive, send) -> None:
        """Serve one client."""
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": str(len(message.get("bytes") or message["text"]))})
        self.gone = message
        self.ended.set()
        await send({"type": "websocket.send", "text": "too late"})


def protocol(app) -> Protocol:
    """Return the server's end of one connection."""
    config = uvicorn.Config(
        app, ws_max_size=MOST_BYTES, ws_ping_interval=None, ws_per_message_deflate=False, log_config=None
    )
    config.load()
    return Protocol(config, ServerState(), {})


class Client:
    """A client on a real connection, which reads only when it is told to."""

    def __init__(self, port) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.frames = ClientProtocol(parse_uri("ws://a.example/asr"), max_size=None)
        self.frames.send_request(self.frames.connect())
        self.flush()
        while self.frames.state is State.CONNECTING:
            self.frames.receive_data(self.socket.recv(65536))

    def flush(self) -> None:
        """Send all that is to be sent, without reading."""
        self.socket.sendall(b"".join(self.frames.data_to_send()))

    def read(self) -> list[str]:
        """Read to the end of the connection, close it, and return the texts that came."""
        while data := self.socket.recv(65536):
            self.frames.receive_data(data)
        self.socket.close()
        events = [each for each in self.frames.events_received() if isinstance(each, Frame)]
        return [each.data.decode() for each in events if each.opcode is Opcode.TEXT]


def _fragments(frames, parts) -> None:
    first, *between, last = parts
    frames.send_binary(first, fin=False)
    for part in between:
        frames.send_continuation(part, fin=False)
    frames.send_continuation(last, fin=True)


def served(dialogue):
    """Run ``dialogue(client)`` on a thread against a server; return its result, and the application."""

    async def serve():
        app = Application()
        server = await asyncio.get_running_loop().create_server(lambda: protocol(app), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        result = await asyncio.wait_for(asyncio.to_thread(lambda: dialogue(Client(port))), 20)
        await asyncio.wait_for(app.ended.wait(), 5)
        server.close()
        return result, app

    return asyncio.run(serve())


@pytest.mark.parametrize(
    ("send", "size", "sizes"),
    [
        (lambda frames: frames.send_binary(bytes(100_001)), 100_001, ("100001", "100000")),
        (lambda frames: frames.send_binary(bytes(8_000_000)), 8_000_000, ("8000000", "100000")),
        (lambda frames: frames.send_text(b"x" * 300_000), 300_000, ("300000", "100000")),
        (lambda frames: _fragments(frames, [bytes(50_000)] * 6), 150_000, ("50000", "after reading 100000", "100000")),
        (lambda frames: _fragments(frames, [bytes(200_000)] * 3), 200_000, ("200000", "100000")),
    ],
    ids=["a byte more", "very large", "text", "fragments", "large fragments"],
)
def test_a_message_above_the_limit_is_refused_with_both_sizes(send, size, sizes):
    """A client that writes everything before it reads sees 1009 with the message's size and the bound."""

    def dialogue(client):
        client.frames.send_binary(bytes(500))
        send(client.frames)
        client.flush()
        texts = client.read()
        return texts, client.frames.close_rcvd

    (texts, close), app = served(dialogue)
    assert texts in (["500"], []), "what came before it may be answered, and nothing after it is"
    assert close.code == 1009
    assert all(each in close.reason for each in sizes), close.reason
    assert (app.gone["code"], app.gone[TOO_BIG_BYTES]) == (1009, size)


def test_a_message_of_exactly_the_limit_is_taken():
    """The limit is inclusive."""

    def dialogue(client):
        client.frames.send_binary(bytes(MOST_BYTES))
        client.flush()
        answer = client.socket.recv(100)
        client.frames.send_close(1000)
        client.flush()
        client.read()
        return answer, client.frames.close_rcvd.code

    (answer, code), app = served(dialogue)
    assert answer.endswith(str(MOST_BYTES).encode())
    assert (code, TOO_BIG_BYTES in app.gone) == (1000, False)


def test_a_refused_clients_data_is_discarded(monkeypatch):
    """It may go on sending for a while, then its connection is closed."""
    monkeypatch.setattr(uvicorn_protocol, "DISCARD_S", 0.5)
    held = []

    def dialogue(client):
        client.frames.send_binary(bytes(MOST_BYTES + 1))
        client.flush()
        began = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() < began + 10:
                client.socket.sendall(bytes(100_000))
        return time.monotonic() - began

    feed = Protocol.data_received

    def noted(self, data):
        feed(self, data)
        if self.refused:
            held.append(len(self.conn.reader.buffer) + len(self.frames) + self.queue.qsize())

    monkeypatch.setattr(Protocol, "data_received", noted)
    lasted_s, _ = served(dialogue)
    assert 0.3 < lasted_s < 9
    assert len(held) > 3, "it was read on"
    assert max(held) <= 1, "nothing but the event that tells the application"


def test_text_that_is_not_utf8_is_refused(caplog):
    """The client sees 1007 at once, a ping in the same packet notwithstanding, and no traceback is logged."""

    def dialogue(client):
        client.frames.send_text(b"\xff\xfe")
        client.frames.send_ping(b"")
        began = time.monotonic()
        client.flush()
        client.read()
        return client.frames.close_rcvd, time.monotonic() - began

    with caplog.at_level(logging.INFO):
        (close, took_s), app = served(dialogue)
    assert (close.code, "invalid start byte" in close.reason) == (1007, True)
    assert took_s < 8
    assert (app.gone["code"], TOO_BIG_BYTES in app.gone) == (1007, False)
    assert not [record for record in caplog.records if record.exc_info or record.levelno > logging.INFO]


def test_an_invalid_frame_is_refused(caplog):
    """A broken frame is answered with 1002, also when the client sends on."""

    def dialogue(client):
        client.socket.sendall(b"\xf3\x80\0\0\0\0" + bytes(1_000_000))
        client.read()
        return client.frames.close_rcvd.code

    with caplog.at_level(logging.INFO):
        code, app = served(dialogue)
    assert (code, app.gone["code"]) == (1002, 1002)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_large_message_before_the_handshake_closes_the_connection(caplog):
    """A client that sends it in one packet with the request gets no 101, and no traceback is logged."""

    async def serve():
        app = Application()
        server = await asyncio.get_running_loop().create_server(lambda: protocol(app), "127.0.0.1", 0)
        frames = ClientProtocol(parse_uri("ws://a.example/asr"))
        frames.send_request(frames.connect())
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"".join(frames.data_to_send()) + b"\x82\xff" + (2**40).to_bytes(8) + bytes(1000))
        assert await asyncio.wait_for(reader.read(), 5) == b""
        await asyncio.wait_for(app.ended.wait(), 5)
        assert app.gone[TOO_BIG_BYTES] == 2**40
        writer.close()
        server.close()

    with caplog.at_level(logging.INFO):
        asyncio.run(serve())
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("code", [1000, 1005, None], ids=["1000", "no code", "broken"])
def test_a_close_frame_is_told_from_a_broken_connection(code):
    """The application is told which it was, by a key of its own and not by what uvicorn leaves out."""

    def dialogue(client):
        if code:
            client.frames.send_close(None if code == 1005 else code)
            client.flush()
            client.read()
        client.socket.close()

    _, app = served(dialogue)
    assert (app.gone["code"], app.gone[BY_CLOSE_FRAME]) == (code or 1005, code is not None)


def test_the_self_test_passes_and_is_quick():
    """The installed uvicorn calls our methods, and testing that delays no start."""
    began = time.monotonic()
    asyncio.run(self_test())
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("hook", "way"), [("receive", "a close frame"), ("handle_parser_exception", "a message above the bound")]
)
def test_the_self_test_notices_a_uvicorn_that_does_not_call_our_methods(monkeypatch, hook, way):
    """It names what would be lost."""
    monkeypatch.delattr(Protocol, hook)
    with pytest.raises(UnfitServerError, match=f"does not tell of {way}"):
        asyncio.run(self_test())


def test_a_gateway_on_an_unfit_uvicorn_never_starts(monkeypatch, capsys, tmp_path):
    """Its start ends with exit code 3 and a sentence, before anything listens."""
    monkeypatch.setenv("RUN_DIR", str(tmp_path))
    monkeypatch.delattr(Protocol, "receive")
    assert __main__.main() == 3
    assert "gateway: uvicorn" in capsys.readouterr().err
