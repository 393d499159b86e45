"""One connection of a client, whatever its protocol: reads while the session has room, writes what it says (shell)."""

import asyncio
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
from gateway.transport.client_writer import ClientWriter
from shared import logs
from shared.errors import MessageTooBigError, SessionError, SessionLimitError
from shared.messages import SAMPLE_RATE, Register
from shared.settings import GatewaySettings

log = logs.get("gateway")

PIECE_BYTES = SAMPLE_RATE * 2
"""Audio goes on to the worker in pieces of at most a second."""

READ_AT_LEAST_EVERY_S = 5.0
"""The socket of a client that is held back is read this often all the same, to see if it has closed or pinged."""

TOO_BIG_BYTES = "too_big_bytes"
"""Key of a ``websocket.disconnect`` event: the size of the message for which the server has closed with 1009."""

BY_CLOSE_FRAME = "by_close_frame"
"""Key of a ``websocket.disconnect`` event: True if a close frame came or was sent, False if the connection broke."""

END_OF_AUDIO = b""
"""Marks the end of audio in the pending audio."""

CLEAN_CLOSES = frozenset({1000, 1005})
"""Close codes of a client that has left for good. After any other end its session waits for it to come back: after a
broken network, the 4000 of a page that is being reloaded, and 1001, which a proxy sends to both sides when it is."""


class ClientConnection:
    """One connection of a session, from the handshake until the socket is closed.

    Back-pressure: while the session has no room for audio, the socket is hardly read, and the client's sends block.

    Args:
        websocket: accepted.
        client: the session.
        protocol: decodes the client's messages.
        factory: of the path that the client came to.
        manager: executes the session's commands.
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
        self._manager = manager
        self._max_message_bytes = settings.max_message_bytes
        self._send_limit_s = settings.send_limit_s
        self._writer = ClientWriter(websocket, client, factory.refusal, manager.clock)
        self._capacity = asyncio.Event()
        self._pending: deque[bytes] = deque()  # audio that was read and for which the session has no room yet
        self._closed_by_client = False

    # --- what the session calls -----------------------------------------------------------------------------

    def notify_writer(self) -> None:
        """Wake the writer if there is something to send, and the reader if there is room for its audio."""
        client = self._client
        if client.send_queue.overflowing and not client.ended:
            self._stop(SessionLimitError("The client does not read what it is sent"))
        self._writer.notify()
        if not self._capacity.is_set() and not client.session.backpressured:
            self._capacity.set()

    def close_after_flush(self, close: CloseConnection) -> None:
        """Close the connection once everything queued has been sent."""
        self._writer.close_after_flush(close)

    def resume(self, last_seq: int, server: Register | None) -> None:
        """Take the place of the session's former connection, which may not have been seen to break."""
        client = self._client
        former, client.connection = client.connection, self
        if isinstance(former, ClientConnection):
            former._writer.supersede()  # noqa: SLF001 - the same class
        client.replay(last_seq, server)
        now = self._manager.clock()
        session = client.session
        self._manager.execute(client, session.farewell() if client.ended else session.on_resumed(now))

    # --- the socket -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the client until one side closes the connection, or it breaks."""
        reading = asyncio.create_task(self._read())
        tasks = {reading, asyncio.create_task(self._writer.run()), asyncio.create_task(self._enforce_send_timeout())}
        done: set[asyncio.Task[None]] = set()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            if not self._writer.superseded:
                # A client whose network breaks before the last message has reached it may come back for it.
                broken = reading in done or any(task.exception() for task in done)
                for_good = self._closed_by_client or (self._writer.close_request is not None and not broken)
                self._manager.detach(self._client, for_good=for_good)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                log.error("a connection failed", event_id="connection_failed", exc_info=result)

    async def _read(self) -> None:
        while True:
            await self._wait_for_capacity()
            message = await self._websocket.receive()
            if self._writer.superseded:
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
        # The code alone is not enough: uvicorn gives 1005 for a broken connection too.
        clean = message[BY_CLOSE_FRAME] and (self._writer.closing or message["code"] in CLEAN_CLOSES)
        self._closed_by_client = clean or size_bytes is not None

    async def _wait_for_capacity(self) -> None:
        """Wait until no audio is pending.

        While less than two messages of full size are pending, return after `READ_AT_LEAST_EVERY_S` all the same.
        """
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
        """Hand pending audio to the session as far as it has room."""
        client, session, now = self._client, self._client.session, self._manager.clock()
        while self._pending:
            data = self._pending.popleft()
            if data == END_OF_AUDIO:
                if client.flush_requested_at is None:
                    client.flush_requested_at = now
                self._manager.execute(client, session.on_end_of_audio(now))
                continue
            room_bytes = len(data) if client.ended else session.capacity_bytes
            for at in range(0, min(len(data), room_bytes), PIECE_BYTES):
                self._manager.execute(client, session.on_audio(data[at : min(at + PIECE_BYTES, room_bytes)], now))
            client.arrival_times.note(session.received, now)
            if len(data) > room_bytes:
                self._pending.appendleft(data[room_bytes:])
                return

    def _on_event(self, event: ClientEvent) -> None:
        session, now = self._client.session, self._manager.clock()
        match event:
            case AudioReceived(pcm):
                if pcm:
                    session.count_audio_message(len(pcm))
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

    async def _enforce_send_timeout(self) -> None:
        """Return, which ends the connection, if the client has not taken its last messages in time."""
        await self._writer.close_requested.wait()
        await asyncio.sleep(self._send_limit_s)
