"""The sending half of a client's connection: the session's queue, then the close (shell)."""

import asyncio
import contextlib
from collections.abc import Callable

from starlette.websockets import WebSocket

from gateway.sessions.client_session import ClientSession
from gateway.sessions.commands import CloseConnection
from gateway.sessions.send_queue import Frame
from shared.errors import ReplacedError


class ClientWriter:
    """Sends what is queued for a client, as soon as it may be sent, and closes the WebSocket when it is asked to.

    Args:
        websocket: accepted.
        client: has the queue.
        refusal: encodes an error for a client that has no session any more.
        clock: monotonic seconds.

    Attributes:
        close_request: how to close once everything queued is sent; None as long as the session goes on.
        close_requested: set with ``close_request``.
        closing: True once the gateway's own close frame is being sent.
        superseded: True once a newer connection has taken over the session.
    """

    def __init__(
        self,
        websocket: WebSocket,
        client: ClientSession,
        refusal: Callable[[ReplacedError], Frame],
        clock: Callable[[], float],
    ) -> None:
        self.close_request: CloseConnection | None = None
        self.close_requested = asyncio.Event()
        self.closing = False
        self.superseded = False
        self._websocket = websocket
        self._queue = client.send_queue
        self._refusal = refusal
        self._clock = clock
        self._wake = asyncio.Event()
        self._wakes_itself = False  # True while it sleeps until the first of the queued states may be sent

    def notify(self) -> None:
        """Wake the writer if there is something that it does not know of yet.

        This is called after each message of the client. Most of them, such as audio, leave nothing to send: it would be
        a waste to wake the task each time.
        """
        wait_s = self._queue.wait_s(self._clock())
        if wait_s is not None and (wait_s == 0 or not self._wakes_itself):
            self._wake.set()

    def close_after_flush(self, close: CloseConnection) -> None:
        """Close once everything queued is sent; only the first request counts."""
        self.close_request = self.close_request or close
        self.close_requested.set()
        self._wake.set()

    def supersede(self) -> None:
        """Close at once, with an error that says why: the queue belongs to a newer connection now."""
        self.superseded = True
        error = ReplacedError("The session goes on on a newer connection")
        self.close_after_flush(CloseConnection(error.close_code, error.message))

    async def run(self) -> None:
        """Send until a close is requested, then close."""
        while not self.superseded:
            # Cleared before the queue is read, so that what is queued after that wakes the wait below.
            self._wake.clear()
            now = self._clock()
            frame = self._queue.pop(now)
            if frame is not None:
                await send_frame(self._websocket, frame)
                continue
            wait_s = self._queue.wait_s(now)
            if wait_s is not None:
                await self._woken_within(wait_s)
            elif self.close_request is None:
                await self._wake.wait()
            else:
                break
        close = self.close_request or CloseConnection(1011, "")
        if self.superseded:
            await send_frame(self._websocket, self._refusal(ReplacedError(close.reason)))
        elif close.linger_s:
            await asyncio.sleep(close.linger_s)  # if the client closes meanwhile, the reader ends and this is cancelled
        self.closing = True
        await self._websocket.close(close.code, close_reason(close.reason))

    async def _woken_within(self, limit_s: float) -> None:
        self._wakes_itself = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._wake.wait()
        self._wakes_itself = False


def close_reason(sentence: str) -> str:
    """Return as much of a sentence as a close frame has room for."""
    return sentence.encode()[:123].decode(errors="ignore")


async def send_frame(websocket: WebSocket, frame: Frame) -> None:
    """Send one message, text or binary."""
    if isinstance(frame, str):
        await websocket.send_text(frame)
    else:
        await websocket.send_bytes(frame)
