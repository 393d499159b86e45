"""What a session tells its client, whatever protocol the client speaks."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.sessions.commands import SessionAccounting
from gateway.sessions.send_queue import Frame, SendQueue
from gateway.sessions.transcript import Transcript
from shared.errors import SessionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What a client is told first, on each of its connections.

    Attributes:
        session_id: unique name of the session.
        resume_token: opens the session again after the connection broke.
        resumed: whether this connection goes on with a session.
        received: samples of it that have arrived.
        model: the model's name, None before a worker has registered; so are ``device`` and ``languages``.
        device: ``cpu`` or ``cuda``.
        languages: Whisper codes.
    """

    session_id: str
    resume_token: str
    resumed: bool
    received: int
    model: str | None
    device: str | None
    languages: tuple[str, ...] | None


class Presenter(Protocol):
    """Fills a session's send queue with messages of one protocol."""

    @abstractmethod
    def greeted(self, greeting: Greeting) -> None:
        """Queue the first message of a connection."""

    @abstractmethod
    def status(self, message: str, gpu_id: int | None) -> None:
        """Queue a status line."""

    @abstractmethod
    def migrated(self, gpu_id: int) -> None:
        """Tell that another worker serves the session; the status before it may have said it all."""

    @abstractmethod
    def text_changed(self, received: int, lag_s: float) -> None:
        """Note that the text, or the positions, have changed."""

    @abstractmethod
    def rejected(self, sentence: str) -> None:
        """Tell of a message that was not understood; the session goes on."""

    @abstractmethod
    def failed(self, error: SessionError) -> None:
        """Queue the error that ends the session."""

    @abstractmethod
    def completed(self, accounting: SessionAccounting) -> None:
        """Queue the last message: everything said has been sent before it."""

    @abstractmethod
    def replay(self, last_seq: int) -> None:
        """Queue again what a client that lost its connection after message ``last_seq`` may have missed."""


class PresenterFactory(Protocol):
    """A presenter's class: makes one for a session, and its messages into frames."""

    def __call__(self, transcript: Transcript, queue: SendQueue[Any], /) -> Presenter:
        """Return a presenter of this transcript that fills this queue."""

    def encode(self, message: Any, seq: int, /) -> Frame:
        """Return a message of the queue, the ``seq``-th of the session, as a WebSocket frame."""
