"""A session with its client's end: it outlives the client's connection and knows the newest one, if there is one."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.sessions.arrival_times import ArrivalTimes
from gateway.sessions.commands import CloseConnection, SessionLimits
from gateway.sessions.presenter import Greeting, Presenter, PresenterFactory
from gateway.sessions.send_queue import SendQueue
from gateway.sessions.session import Session
from gateway.sessions.state import State
from gateway.sessions.transcript import Transcript
from shared.errors import BadParameterError, brief
from shared.messages import Register


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a session's audio is to be recognised.

    Attributes:
        language: Whisper code; None if it is to be detected, or is the model's only one.
        task: ``transcribe`` or ``translate``.
    """

    language: str | None = None
    task: str = "transcribe"

    def check(self, languages: Sequence[str], model: str) -> None:
        """Check the options against what a model can do.

        Raises:
            BadParameterError: the model does not have that language, or does not translate.
        """
        if self.language is not None and self.language not in languages:
            have = (
                ", ".join(languages)
                if len(languages) <= 5
                else f"{len(languages)} languages by Whisper code, e.g. en, de, fr"
            )
            raise BadParameterError(f"language={brief(self.language)} is not one of the model {model}'s: it has {have}")
        if self.task == "translate" and len(languages) == 1:
            raise BadParameterError(
                f"task='translate' needs a multilingual model; {model} only transcribes {languages[0]}"
            )


class ClientTransport(Protocol):
    """The client's present connection."""

    def notify_writer(self) -> None:
        """Wake the writer if there is something new to send, and the reader if there is room."""

    def close_after_flush(self, close: CloseConnection) -> None:
        """Close once what is queued has been sent."""


class ClientSession:
    """A session, its presenter and send queue, and its times in seconds of the gateway's clock.

    Args:
        session_id: unique name.
        options: what the client asked for.
        protocol: makes the presenter.
        api_token: the client token it came with; only the same one may resume it.
        requested_at: when its request arrived.
        limits: see `SessionLimits`.

    Attributes:
        accept_ms: how long its WebSocket took to be accepted.
        leased_at: when it got its first slot, None before.
        flush_requested_at: when the client ended its audio, None before.
    """

    def __init__(
        self,
        session_id: str,
        options: SessionOptions,
        protocol: PresenterFactory,
        *,
        api_token: str | None,
        requested_at: float,
        limits: SessionLimits,
    ) -> None:
        self.options = options
        self.limits = limits
        self.api_token = api_token
        self.requested_at = requested_at
        self.accept_ms = 0.0
        self.leased_at: float | None = None
        self.flush_requested_at: float | None = None
        self.arrival_times = ArrivalTimes()
        self.resume_token = secrets.token_urlsafe(24)
        self.send_queue: SendQueue[Any] = SendQueue(protocol.encode, max_posted=limits.max_unread)
        self.connection: ClientTransport | None = None
        transcript = Transcript()
        self.presenter: Presenter = protocol(transcript, self.send_queue)
        self.session = Session(
            session_id,
            presenter=self.presenter,
            transcript=transcript,
            language=options.language,
            task=options.task,
            now=requested_at,
            limits=limits,
        )

    def notify_writer(self) -> None:
        """Let the client's connection see what there is to send and whether there is room."""
        if self.connection is not None:
            self.connection.notify_writer()

    def close_after_flush(self, close: CloseConnection) -> None:
        """Close the client's connection, if there is one, once everything queued has been sent."""
        if self.connection is not None:
            self.connection.close_after_flush(close)

    def greet(self, server: Register | None, *, resumed: bool) -> None:
        """Queue the first message of a connection; ``server`` is a worker that serves, if there is one."""
        greeting = Greeting(
            session_id=self.session.id,
            resume_token=self.resume_token,
            resumed=resumed,
            received=self.session.received if resumed else 0,
            model=server.model if server else None,
            device=server.device if server else None,
            languages=server.languages if server else None,
        )
        self.presenter.greeted(greeting)

    def replay(self, last_seq: int, server: Register | None) -> None:
        """Start the send queue anew for a client that has seen everything up to message ``last_seq``."""
        self.send_queue.clear()
        self.greet(server, resumed=True)
        self.presenter.replay(last_seq)

    @property
    def ended(self) -> bool:
        """Return True if the session has ended."""
        return self.session.state is State.ENDED
