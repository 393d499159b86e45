"""Send a session's audio over whichever connection there is."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from whisper_live_client.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from whisper_live_client.connection import SessionClosedError

from .replay_buffer import ReplayBuffer

# Twice what a server keeps by default (its journal's 60 s), so that our own limit is never what breaks a resume.
KEPT_BYTES = 120 * SAMPLE_RATE * BYTES_PER_SAMPLE
# Audio that no server has yet: half of it, so that what one has but has not made final finds room beside it.
UNRECEIVED_SAMPLES = 60 * SAMPLE_RATE


class AudioSender:
    """Takes audio and sends it in order, waiting while the server does not read.

    With ``reconnects`` it goes on taking audio while there is no connection, up to the limit, and sends it over the
    next one.
    """

    def __init__(self, *, reconnects: bool, on_end: Callable[[], None]) -> None:
        self.buffer = ReplayBuffer(KEPT_BYTES)
        self._acknowledged: bool | None = None
        self._reconnects = reconnects
        self._on_end = on_end
        self._socket: ClientConnection | None = None
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._resending: asyncio.Task[None] | None = None
        self._received_samples = 0
        self._ending = False
        self._end_sent = False
        self._closed = False

    async def send(self, pcm: bytes) -> None:
        await self._wait_for_capacity(len(pcm))
        self.buffer.append(pcm)
        await self._send_pending()

    async def finish(self) -> None:
        self._ending = True
        await self._send_pending()

    def attach(self, socket: ClientConnection, from_sample: int) -> None:
        """Send from a sample on over this connection, at once."""
        self.buffer.rewind(from_sample)
        self._socket, self._end_sent = socket, False
        self._received_samples = from_sample
        self._changed.set()
        self._resending = asyncio.create_task(self._resend())

    def on_first_event(self, *, acknowledged: bool) -> None:
        """Note whether the server will acknowledge audio, which its first message shows; later calls do nothing."""
        if self._acknowledged is None:
            self._acknowledged = acknowledged
            self._changed.set()

    def on_ack(self, sample: int) -> None:
        self._received_samples = max(self._received_samples, sample)
        self._changed.set()

    def on_settled(self, sample: int) -> None:
        """Forget what no session needs to hear again, once the server surely has it.

        A word may be said to end a little after the audio that the server had by then.
        """
        self.buffer.acknowledge(min(sample, self._received_samples) if self._acknowledged else sample - SAMPLE_RATE)

    def close(self) -> None:
        """Refuse audio from now on: there will be no connection any more."""
        self._closed = True
        self._changed.set()
        if self._resending is not None:
            self._resending.cancel()

    async def _wait_for_capacity(self, size_bytes: int) -> None:
        while self._reconnects and not self._closed:
            # A server that does not acknowledge has, for all we know, what was handed to the network.
            received = self.buffer.sent_samples if self._acknowledged is False else self._received_samples
            unreceived = self.buffer.end_samples - received
            if not unreceived or unreceived + size_bytes // BYTES_PER_SAMPLE <= UNRECEIVED_SAMPLES:
                break
            self._changed.clear()
            await self._changed.wait()
        if self._closed:
            raise SessionClosedError("the connection is closed")

    async def _send_pending(self) -> None:
        """Send everything that is not sent; over a connection that broke it stays where it is."""
        if self._closed:
            raise SessionClosedError("the connection is closed")
        async with self._lock:
            try:
                while (socket := self._socket) is not None and await self._send_next(socket):
                    self._changed.set()
            except ConnectionClosed as error:
                if not self._reconnects:
                    raise SessionClosedError(f"the connection is closed ({socket and socket.close_code})") from error

    async def _send_next(self, socket: ClientConnection) -> bool:
        piece = self.buffer.next_unsent()
        if not piece and (not self._ending or self._end_sent):
            return False
        await socket.send(piece)
        # While that waited, another connection may have come with its own position.
        if socket is not self._socket:
            return True
        if piece:
            self.buffer.advance(len(piece))
        else:
            self._end_sent = True
            self._on_end()
        return True

    async def _resend(self) -> None:
        with suppress(SessionClosedError):
            await self._send_pending()
