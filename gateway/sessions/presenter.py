"""The messages of a session to its client, in whatever protocol the client speaks."""

from abc import abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from gateway.sessions.commands import SessionAccounting
from gateway.sessions.send_queue import Frame, SendQueue
from gateway.sessions.transcript import Transcript
from shared.errors import SessionError


class Status(StrEnum):
    """Where a session is on its way to a slot. The value is a code for programs, which never changes."""

    CONNECTED = "connected"
    ALLOCATING = "allocating"
    LOADING = "loading"
    READY = "ready"
    MOVING = "moving"
    WAITING = "waiting"

    def sentence(self, gpu_id: int | None) -> str:
        """Return the status in words for the user."""
        return _SENTENCES[self].format(gpu_id)


_SENTENCES = {
    Status.CONNECTED: "Connected",
    Status.ALLOCATING: "Allocating GPU...",
    Status.LOADING: "Loading models on GPU {}...",
    Status.READY: "Ready to transcribe",
    Status.MOVING: "Moving to GPU {}...",
    Status.WAITING: "Waiting for a free GPU...",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """The content of the first message on each of a client's connections.

    Attributes:
        session_id: unique name of the session.
        resume_token: with it a client resumes its session after the connection broke.
        resumed: whether this connection has resumed a session.
        received: samples of the session that have arrived before.
        model: the model's name; this and the next three are None before a worker has registered.
        device: ``cpu`` or ``cuda``.
        languages: Whisper codes.
        translates: whether it translates into English.
    """

    session_id: str
    resume_token: str
    resumed: bool
    received: int
    model: str | None
    device: str | None
    languages: tuple[str, ...] | None
    translates: bool | None


class Presenter(Protocol):
    """Fills a session's send queue with messages of one protocol."""

    @abstractmethod
    def greeted(self, greeting: Greeting) -> None:
        """Queue the first message of a connection."""

    @abstractmethod
    def status(self, status: Status, gpu_id: int | None) -> None:
        """Queue where the session is on its way to a slot, and on which GPU, if that is known."""

    @abstractmethod
    def migrated(self, gpu_id: int) -> None:
        """Queue the news that another worker serves the session, if the last status does not say it all."""

    @abstractmethod
    def text_changed(self, received: int, lag_s: float) -> None:
        """Queue what is new, if anything, after a step or at the end."""

    @abstractmethod
    def rejected(self, sentence: str) -> None:
        """Queue the answer to a message that was not understood; the session goes on."""

    @abstractmethod
    def hint(self, code: str, sentence: str) -> None:
        """Queue what the client should know about its audio; the session goes on. Sessions call it once a code."""

    @abstractmethod
    def failed(self, error: SessionError) -> None:
        """Queue the error that ends the session."""

    @abstractmethod
    def completed(self, accounting: SessionAccounting) -> None:
        """Queue the last message, and before it whatever text has not been queued yet."""

    @abstractmethod
    def replay(self, last_seq: int) -> None:
        """Queue again what a client has missed that lost its connection after message ``last_seq``."""


class PresenterFactory(Protocol):
    """A class of presenters, and the encoding of their messages."""

    def __call__(self, transcript: Transcript, queue: SendQueue[Any], /) -> Presenter:
        """Return a presenter that queues what becomes of this transcript."""

    def encode(self, message: Any, seq: int, /) -> Frame:
        """Return the ``seq``-th message of a session as a WebSocket message."""
