"""A session with what its client needs: presenter, send queue, resume token, and the present connection, if any."""

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
        language: Whisper code; None to detect it, or for a model of one language.
        task: ``transcribe`` or ``translate``.
    """

    language: str | None = None
    task: str = "transcribe"

    def check(self, languages: Sequence[str], model: str, *, translates: bool = True) -> None:
        """Check that a model can do what is asked for.

        Raises:
            BadParameterError: the model does not have that language, or does not translate.
        """
        if self.language is not None and self.language not in languages:
            known = (
                ", ".join(languages)
                if len(languages) <= 5
                else f"{len(languages)} languages by Whisper code, e.g. en, de, fr"
            )
            raise BadParameterError(
                f"language={brief(self.language)} is not one of the model {model}'s: it has {known}"
            )
        if self.task == "translate" and len(languages) == 1:
            raise BadParameterError(
                f"task='translate' needs a multilingual model; {model} only transcribes {languages[0]}"
            )
        if self.task == "translate" and not translates:
            raise BadParameterError(
                f"task='translate' needs a model that was trained to translate; {model} only transcribes"
            )


class ClientTransport(Protocol):
    """The client's present connection, as the session needs it."""

    def notify_writer(self) -> None:
        """Wake the writer if there is something to send, and the reader if there is room for its audio."""

    def close_after_flush(self, close: CloseConnection) -> None:
        """Close the connection once everything queued has been sent."""


class ClientSession:
    """A session, its presenter and send queue, and its times in seconds of the gateway's clock.

    Args:
        session_id: unique name.
        options: what the client asked for.
        protocol: makes the presenter.
        api_token: the client token that it was opened with; only with the same one may it be resumed.
        requested_at: when the request arrived.
        limits: see `SessionLimits`.

    Attributes:
        accept_ms: how long it took to accept the WebSocket.
        leased_at: when it got its first slot; None before.
        flush_requested_at: when the client ended its audio; None before.
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
        """Wake the connection, if there is one, as `ClientTransport.notify_writer`."""
        if self.connection is not None:
            self.connection.notify_writer()

    def close_after_flush(self, close: CloseConnection) -> None:
        """Close the connection, if there is one, as `ClientTransport.close_after_flush`."""
        if self.connection is not None:
            self.connection.close_after_flush(close)

    def greet(self, server: Register | None, *, resumed: bool) -> None:
        """Queue the first message of a connection; ``server`` is the registration of a serving worker, if any."""
        greeting = Greeting(
            session_id=self.session.id,
            resume_token=self.resume_token,
            resumed=resumed,
            received=self.session.received if resumed else 0,
            model=server.model if server else None,
            device=server.device if server else None,
            languages=server.languages if server else None,
            translates=server.translates if server else None,
        )
        self.presenter.greeted(greeting)

    def replay(self, last_seq: int, server: Register | None) -> None:
        """Fill the send queue anew for a client that has seen the messages up to ``last_seq``."""
        self.send_queue.clear()
        self.greet(server, resumed=True)
        self.presenter.replay(last_seq)

    @property
    def ended(self) -> bool:
        return self.session.state is State.ENDED
