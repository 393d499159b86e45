"""The way up: a session's audio, sent over whichever connection there is (shell)."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from .audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from .connection import ClosedError
from .unacked import Unacked

# Twice what a server keeps by default (its journal's 60 s), so that our own bound is never what breaks a resume.
UNACKED_BOUND_BYTES = 120 * SAMPLE_RATE * BYTES_PER_SAMPLE
# Audio that no server has yet: half of it, so that what one has but has not made final finds room beside it.
UNRECEIVED_BOUND_SAMPLES = 60 * SAMPLE_RATE


class Uplink:
    """Takes audio and sends it in order, waiting while the server does not read.

    One that is ``lasting`` goes on taking audio while there is no connection, up to the bound, and sends it over the
    next one.
    """

    def __init__(self, *, lasting: bool, on_end: Callable[[], None]) -> None:
        """Prepare.

        Args:
            lasting: whether another connection may take the place of a lost one.
            on_end: called whenever the end marker has been sent.
        """
        self.unacked = Unacked(UNACKED_BOUND_BYTES)
        self._acknowledged: bool | None = None
        self._lasting = lasting
        self._on_end = on_end
        self._socket: ClientConnection | None = None
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self._resending: asyncio.Task[None] | None = None
        self._received_samples = 0
        self._ending = False
        self._marked = False
        self._closed = False

    # --- what the session's owner calls -------------------------------------------------------------------

    async def send(self, pcm: bytes) -> None:
        """Take audio and send it.

        Raises:
            ClosedError: there is no connection and there will be none.
        """
        await self._room(len(pcm))
        self.unacked.append(pcm)
        await self._transmit()

    async def finish(self) -> None:
        """Send the end marker after all audio.

        Raises:
            ClosedError: there is no connection and there will be none.
        """
        self._ending = True
        await self._transmit()

    # --- what its connections call ------------------------------------------------------------------------

    def attach(self, socket: ClientConnection, from_sample: int) -> None:
        """Send from a sample on over this connection, at once.

        Raises:
            LookupError: that audio is not kept.
        """
        self.unacked.rewind(from_sample)
        self._socket, self._marked = socket, False
        self._received_samples = from_sample
        self._news.set()
        self._resending = asyncio.create_task(self._resend())

    def greeted(self, *, acknowledged: bool) -> None:
        """The server has said its first word, and with it whether it will acknowledge audio."""
        if self._acknowledged is None:
            self._acknowledged = acknowledged
            self._news.set()

    def received(self, sample: int) -> None:
        """The server has everything before a sample."""
        self._received_samples = max(self._received_samples, sample)
        self._news.set()

    def settled(self, sample: int) -> None:
        """No session needs to hear what is before a sample; it is forgotten once the server surely has it.

        A word may be said to end a little after the audio that the server had by then.
        """
        self.unacked.acknowledge(min(sample, self._received_samples) if self._acknowledged else sample - SAMPLE_RATE)

    def close(self) -> None:
        """There will be no connection any more."""
        self._closed = True
        self._news.set()
        if self._resending is not None:
            self._resending.cancel()

    # --- the sending --------------------------------------------------------------------------------------

    async def _room(self, size_bytes: int) -> None:
        """Wait until the server has enough of what was taken before."""
        while self._lasting and not self._closed:
            # A server that does not acknowledge has, for all we know, what was handed to the network.
            received = self.unacked.sent_samples if self._acknowledged is False else self._received_samples
            unreceived = self.unacked.end_samples - received
            if not unreceived or unreceived + size_bytes // BYTES_PER_SAMPLE <= UNRECEIVED_BOUND_SAMPLES:
                break
            self._news.clear()
            await self._news.wait()
        if self._closed:
            raise ClosedError("the connection is closed")

    async def _transmit(self) -> None:
        """Send everything that is not sent; over a connection that broke it stays where it is."""
        if self._closed:
            raise ClosedError("the connection is closed")
        async with self._turn:
            try:
                while (socket := self._socket) is not None and await self._send_next(socket):
                    self._news.set()
            except ConnectionClosed as error:
                if not self._lasting:
                    raise ClosedError(f"the connection is closed ({socket and socket.close_code})") from error

    async def _send_next(self, socket: ClientConnection) -> bool:
        piece = self.unacked.unsent()
        if not piece and (not self._ending or self._marked):
            return False
        await socket.send(piece)
        # While that waited, another connection may have come with its own position.
        if socket is not self._socket:
            return True
        if piece:
            self.unacked.advance(len(piece))
        else:
            self._marked = True
            self._on_end()
        return True

    async def _resend(self) -> None:
        with suppress(ClosedError):
            await self._transmit()
