"""One client's WebSocket, both ways: bounded, slowed down where there is no room, whatever its format (shell)."""

import asyncio
import contextlib
from collections import deque
from typing import assert_never

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.protocols.base import (
    AudioEnded,
    AudioReceived,
    ClientEvent,
    ClientProtocol,
    CommitRequested,
    KeptAlive,
    ProtocolFactory,
    Rejected,
)
from gateway.session_manager import SessionManager
from gateway.sessions.client_session import ClientSession
from gateway.sessions.commands import CloseConnection
from gateway.sessions.send_queue import Frame
from shared import logs
from shared.errors import MessageTooBigError, ReplacedError, SessionError, SessionLimitError
from shared.messages import SAMPLE_RATE, Register
from shared.settings import GatewaySettings

log = logs.get("gateway")

PIECE_BYTES = SAMPLE_RATE * 2
"""Audio goes on to the worker in pieces of at most a second."""

READ_AT_LEAST_EVERY_S = 10.0
"""A held-back client's socket is read this often all the same, so that its close is seen."""

TOO_BIG_BYTES = "too_big_bytes"
"""Key of a ``websocket.disconnect`` event: the size of the message for which the server has closed with 1009."""

BY_CLOSE_FRAME = "by_close_frame"
"""Key of a ``websocket.disconnect`` event: True if a close frame came or was sent, False if the connection broke."""

END_OF_AUDIO = b""
"""Stands among the pending audio where it ends."""

CLEAN_CLOSES = frozenset({1000, 1001, 1005})
"""Close codes by which a client says that it has left; any other end is a broken network, or a page that is loaded anew
and says 4000, and has a grace."""


class ClientConnection:
    """One connection of a session: reads while there is room, writes what the session says.

    Args:
        websocket: accepted.
        client: the session.
        protocol: its client's; the session's presenter too.
        factory: of the path that the client came to.
        manager: does what the session wants done.
        settings: bounds on a message's size, and on the time in which the last messages must be taken.
    """

    def __init__(
        self,
        websocket: WebSocket,
        client: ClientSession,
        protocol: ClientProtocol,
        factory: ProtocolFactory,
        *,
        manager: SessionManager,
        settings: GatewaySettings,
    ) -> None:
        self._websocket = websocket
        self._client = client
        self._protocol = protocol
        self._factory = factory
        self._manager = manager
        self._max_message_bytes = settings.max_message_bytes
        self._send_limit_s = settings.send_limit_s
        self._wake = asyncio.Event()
        self._timed = False  # whether the writer wakes by itself when what is queued may be sent
        self._capacity = asyncio.Event()
        self._close_request: CloseConnection | None = None
        self._close_requested = asyncio.Event()
        self._pending: deque[bytes] = deque()
        self._closed_by_client = False
        self._closing = False
        self._superseded = False

    # --- what the session calls -----------------------------------------------------------------------------

    def notify_writer(self) -> None:
        """Wake the writer if there is something new to send, and the reader if there is room.

        This is called for each message from the client, most of which leave nothing to send.
        """
        client = self._client
        if client.send_queue.overflowing and not client.ended:
            self._stop(SessionLimitError("The client does not read what it is sent"))
        wait_s = client.send_queue.wait_s(self._manager.clock())
        if wait_s is not None and (wait_s == 0 or not self._timed):
            self._wake.set()
        if not self._capacity.is_set() and not client.session.backpressured:
            self._capacity.set()

    def close_after_flush(self, close: CloseConnection) -> None:
        """Close the socket once what is queued has been sent."""
        self._close_request = self._close_request or close
        self._close_requested.set()
        self._wake.set()

    def resume(self, last_seq: int, server: Register | None) -> None:
        """Go on with a session in place of its former connection."""
        client = self._client
        former, client.connection = client.connection, self
        if isinstance(former, ClientConnection):
            former.supersede()
        client.replay(last_seq, server)
        now = self._manager.clock()
        session = client.session
        self._manager.execute(client, session.farewell() if client.ended else session.on_resumed(now))

    def supersede(self) -> None:
        """A newer socket has taken over: say so and close, whatever else is queued."""
        self._superseded = True
        error = ReplacedError("The session goes on on a newer connection")
        self.close_after_flush(CloseConnection(error.close_code, error.message))

    # --- the socket -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the client until its socket is closed."""
        reading = asyncio.create_task(self._read())
        tasks = {reading, asyncio.create_task(self._write()), asyncio.create_task(self._enforce_send_timeout())}
        done: set[asyncio.Task[None]] = set()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            if not self._superseded:
                # A client whose network breaks before the last message has reached it may come back for that.
                broken = reading in done or any(task.exception() for task in done)
                for_good = self._closed_by_client or (self._close_request is not None and not broken)
                self._manager.detach(self._client, for_good=for_good)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                log.error("a connection failed", event_id="connection_failed", exc_info=result)

    async def _read(self) -> None:
        while True:
            await self._wait_for_capacity()
            message = await self._websocket.receive()
            if self._superseded:
                return
            if message["type"] == "websocket.disconnect":
                self._disconnected(message)
                return
            text = message.get("text")
            for event in self._protocol.receive(message["bytes"] if text is None else text):
                self._on_event(event)

    def _disconnected(self, message: Message) -> None:
        size_bytes = message.get(TOO_BIG_BYTES)
        if size_bytes is not None:
            self._stop(MessageTooBigError(f"A message of {size_bytes} bytes; the most is {self._max_message_bytes}"))
        # The code alone does not tell: uvicorn says 1005 for a broken connection too.
        clean = message[BY_CLOSE_FRAME] and (self._closing or message["code"] in CLEAN_CLOSES)
        self._closed_by_client = clean or size_bytes is not None

    async def _wait_for_capacity(self) -> None:
        """Wait until nothing is pending, but not so long that the socket's close would go unseen."""
        while self._pending:
            self._capacity.clear()
            self._forward_pending()
            if not self._pending:
                return
            held_bytes = sum(map(len, self._pending))
            limit_s = None if held_bytes >= 2 * self._max_message_bytes else READ_AT_LEAST_EVERY_S
            try:
                await asyncio.wait_for(self._capacity.wait(), limit_s)
            except TimeoutError:
                return

    def _forward_pending(self) -> None:
        """Hand pending audio to the session while it has room."""
        client, session, now = self._client, self._client.session, self._manager.clock()
        while self._pending:
            data = self._pending.popleft()
            if data == END_OF_AUDIO:
                client.flush_requested_at = now if client.flush_requested_at is None else client.flush_requested_at
                self._manager.execute(client, session.on_end_of_audio(now))
                continue
            room = len(data) if client.ended else session.capacity_bytes
            for at in range(0, min(len(data), room), PIECE_BYTES):
                self._manager.execute(client, session.on_audio(data[at : min(at + PIECE_BYTES, room)], now))
            client.arrival_times.note(session.received, now)
            if len(data) > room:
                self._pending.appendleft(data[room:])
                return

    def _on_event(self, event: ClientEvent) -> None:
        session, now = self._client.session, self._manager.clock()
        match event:
            case AudioReceived(pcm):
                if pcm:
                    session.count_audio_message()
                    self._pending.append(pcm)
                    self._forward_pending()
            case AudioEnded():
                self._pending.append(END_OF_AUDIO)
                self._forward_pending()
            case CommitRequested():
                self._manager.execute(self._client, session.on_finalize(now))
            case KeptAlive():
                session.on_keepalive(now)
            case Rejected(sentence):
                session.on_keepalive(now)
                self._protocol.rejected(sentence)
                self.notify_writer()
            case _:
                assert_never(event)

    def _stop(self, error: SessionError) -> None:
        self._manager.execute(self._client, self._client.session.stop(error))

    async def _write(self) -> None:
        queue = self._client.send_queue
        while not self._superseded:
            self._wake.clear()
            now = self._manager.clock()
            frame = queue.pop(now)
            if frame is not None:
                await send_frame(self._websocket, frame)
                continue
            wait_s = queue.wait_s(now)
            if wait_s is not None:
                await self._woken_within(wait_s)
            elif self._close_request is None:
                await self._wake.wait()
            else:
                break
        close = self._close_request or CloseConnection(1011, "")
        if self._superseded:
            await send_frame(self._websocket, self._factory.refusal(ReplacedError(close.reason)))
        elif close.linger_s:
            await asyncio.sleep(close.linger_s)  # the reader ends first if the client closes
        self._closing = True
        await self._websocket.close(close.code, close_reason(close.reason))

    async def _woken_within(self, limit_s: float) -> None:
        self._timed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._wake.wait()
        self._timed = False

    async def _enforce_send_timeout(self) -> None:
        """End a connection whose client does not take its last messages."""
        await self._close_requested.wait()
        await asyncio.sleep(self._send_limit_s)


def close_reason(sentence: str) -> str:
    """Return as much of a sentence as a close frame has room for."""
    return sentence.encode()[:123].decode(errors="ignore")


async def send_frame(websocket: WebSocket, frame: Frame) -> None:
    """Send one message, text or binary."""
    if isinstance(frame, str):
        await websocket.send_text(frame)
    else:
        await websocket.send_bytes(frame)
