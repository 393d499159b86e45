"""A session with its client's end: it outlives the client's socket and knows the newest one, if there is one."""

import secrets
from typing import Protocol

from gateway.auth.client_auth import Parameters
from gateway.protocols.views import EventsView, FullView, View
from gateway.sessions.arrival_times import ArrivalTimes
from gateway.sessions.commands import CloseConnection, SessionLimits
from gateway.sessions.send_queue import JsonObject, SendQueue
from gateway.sessions.session import Session
from gateway.sessions.state import State
from gateway.sessions.transcript import Transcript


class ClientTransport(Protocol):
    """The client's present connection."""

    def notify_writer(self) -> None:
        """Wake the writer if there is something new to send, and the reader if there is room."""

    def close_after_flush(self, hangup: CloseConnection) -> None:
        """Close once what is queued has been sent."""


class ClientSession:
    """One session, its outbox, and when it came to be.

    Args:
        name: the session's id.
        parameters: what the client asked for.
        owner: the client token it came with; only the same one may resume it.
        arrived: when its request arrived, seconds of the gateway's clock.
        bounds: see `SessionBounds`.
    """

    def __init__(
        self,
        session_id: str,
        parameters: Parameters,
        *,
        api_token: str | None,
        requested_at: float,
        limits: SessionLimits,
    ) -> None:
        self.parameters = parameters
        self.limits = limits
        self.api_token = api_token
        self.requested_at = requested_at
        self.accept_ms = 0.0
        self.leased_at: float | None = None
        self.flush_requested_at: float | None = None
        self.arrival_times = ArrivalTimes()
        self.resume_token = secrets.token_urlsafe(24)
        self.send_queue = SendQueue(numbered=parameters.mode == "events", max_posted=limits.max_unread)
        self.connection: ClientTransport | None = None
        transcript = Transcript()
        view_of = EventsView if parameters.mode == "events" else FullView
        self.presenter: View = view_of(transcript, self.send_queue)
        self.session = Session(
            session_id,
            presenter=self.presenter,
            transcript=transcript,
            language=parameters.language,
            task=parameters.task,
            now=requested_at,
            limits=limits,
        )

    def notify_writer(self) -> None:
        """Let the client's socket see what there is to send and whether there is room."""
        if self.connection is not None:
            self.connection.notify_writer()

    def close_after_flush(self, hangup: CloseConnection) -> None:
        """Close the client's socket once everything queued has been sent."""
        if self.connection is not None:
            self.connection.close_after_flush(hangup)

    def greet(self, facts: JsonObject, *, resumed: bool) -> None:
        """Post the first message of a socket."""
        session = self.session
        own: JsonObject = {"session": session.id, "resume_token": self.resume_token, "resumed": resumed}
        self.presenter.config(facts | own | {"received": session.received if resumed else 0})

    def replay(self, last_seq: int, facts: JsonObject) -> None:
        """Start the outbox anew for a client that has seen everything up to ``last_seq``."""
        self.send_queue.clear()
        self.greet(facts, resumed=True)
        self.presenter.replay(last_seq)

    @property
    def ended(self) -> bool:
        """Tell whether the session has ended."""
        return self.session.state is State.ENDED
