"""A session's connection, and the next one when it breaks (shell)."""

import time

from websockets.asyncio.client import ClientConnection

from .connection import CannotConnectError, Connector
from .messages import Config, ServerMessage, Status
from .recovery import Ending, Recovery
from .timeline import Timeline
from .transcript import Transcript
from .uplink import Uplink

LOST = "connection lost, reconnecting…"
RESUMED = "resumed"
BEGUN_AGAIN = "resumed in a new session: the server no longer had the old one"


class Lifeline:
    """Holds one connection after the other, and makes them one session: its audio, its time line.

    Attributes:
        socket: the present connection, or the last one.
        between: whether the session waits for a connection on which it goes on.
        problem: why there is no connection any more, where the connection itself does not say so.
    """

    def __init__(self, connector: Connector, recovery: Recovery, uplink: Uplink) -> None:
        self.socket: ClientConnection | None = None
        self.between = False
        self.problem: str | None = None
        self._connector = connector
        self._recovery = recovery
        self._uplink = uplink
        self._timeline = Timeline()

    async def open(self) -> None:
        """Open the first connection.

        Raises:
            CannotConnectError: it could not be opened; the message says why.
        """
        self.socket = await self._connector.open({})
        self._uplink.attach(self.socket, 0)

    def lost(self, transcript: Transcript) -> Status | None:
        """Return what there is to tell about a connection that has ended: that another may take its place."""
        if self.between or not self._recovery.bound_s or not self._ending(transcript).passing:
            return None
        self.between = True
        transcript.interrupted()
        return _notice(LOST, transcript)

    async def recover(self, transcript: Transcript) -> bool:
        """Put another connection in the place of the lost one; returns whether there is one."""
        config = transcript.config
        query = {"resume": config.resume_token} if config and config.resume_token else {}
        if query and transcript.last_seq:
            query["last_seq"] = str(transcript.last_seq)
        try:
            connection = await self._connector.open_again(self._ending(transcript), query)
        except CannotConnectError as error:
            transcript.errors.clear()
            self.problem = str(error)
            return False
        if connection is None:
            return False
        transcript.errors.clear()
        self.socket = connection
        return True

    def resume(self, config: Config, transcript: Transcript) -> Status:
        """Go on from where the server is; returns what there is to tell.

        Raises:
            LookupError: the audio that it asks for is not kept.
        """
        assert self.socket is not None
        if config.resumed:
            sample = self._timeline.first_sample + config.received
            transcript.resumed(sample)
        else:
            unacked = self._uplink.unacked
            sample = min(max(transcript.settled_samples, unacked.first_sample), unacked.end_samples)
            unsettled = transcript.unsettled_from
            lost = 0 if unsettled is None else max(0, sample - unsettled)
            transcript.begun_again(sample, lost, time.monotonic())
            self._timeline = Timeline(sample, transcript.next_segment)
        self._uplink.attach(self.socket, sample)
        self.between = False
        return _notice(RESUMED if config.resumed else BEGUN_AGAIN, transcript)

    def place(self, message: ServerMessage) -> ServerMessage:
        """Put a message on the time line of the whole session."""
        return self._timeline.place(message)

    def _ending(self, transcript: Transcript) -> Ending:
        errors = transcript.errors
        return Ending(
            close_code=self.socket.close_code if self.socket else None,
            retry_after_s=errors[-1].retry_after_s if errors else None,
            begun=transcript.ready_s is not None,
        )


def _notice(sentence: str, transcript: Transcript) -> Status:
    """Say something as the client itself; it stands among the server's statuses."""
    status = Status(None, sentence, None)
    transcript.noticed(status, time.monotonic())
    return status
