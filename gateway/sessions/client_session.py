"""A session with its client's end: it outlives the client's socket and knows the newest one, if there is one."""

import secrets
from typing import Protocol

from gateway.auth.client_auth import Parameters
from gateway.protocols.views import EventsView, FullView, View
from gateway.sessions.arrival_times import Arrivals
from gateway.sessions.commands import Hangup, SessionBounds
from gateway.sessions.send_queue import JsonObject, Outbox
from gateway.sessions.session import Session
from gateway.sessions.state import State
from gateway.sessions.transcript import Transcript


class Socket(Protocol):
    """The client's present connection."""

    def wake(self) -> None:
        """Wake the writer if there is something new to send, and the reader if there is room."""

    def hang_up(self, hangup: Hangup) -> None:
        """Close once what is queued has been sent."""


class Conversation:
    """One session, its outbox, and when it came to be.

    Args:
        name: the session's id.
        parameters: what the client asked for.
        owner: the client token it came with; only the same one may resume it.
        arrived: when its request arrived, seconds of the gateway's clock.
        bounds: see `SessionBounds`.
    """

    def __init__(
        self, name: str, parameters: Parameters, *, owner: str | None, arrived: float, bounds: SessionBounds
    ) -> None:
        self.parameters = parameters
        self.bounds = bounds
        self.owner = owner
        self.arrived = arrived
        self.accept_ms = 0.0
        self.allocated: float | None = None
        self.flush_asked: float | None = None
        self.arrivals = Arrivals()
        self.resume_token = secrets.token_urlsafe(24)
        self.outbox = Outbox(numbered=parameters.mode == "events", max_posted=bounds.max_unread)
        self.socket: Socket | None = None
        transcript = Transcript()
        view_of = EventsView if parameters.mode == "events" else FullView
        self.view: View = view_of(transcript, self.outbox)
        self.session = Session(
            name,
            view=self.view,
            transcript=transcript,
            language=parameters.language,
            task=parameters.task,
            now=arrived,
            bounds=bounds,
        )

    def notify(self) -> None:
        """Let the client's socket see what there is to send and whether there is room."""
        if self.socket is not None:
            self.socket.wake()

    def hang_up(self, hangup: Hangup) -> None:
        """Close the client's socket once everything queued has been sent."""
        if self.socket is not None:
            self.socket.hang_up(hangup)

    def greet(self, facts: JsonObject, *, resumed: bool) -> None:
        """Post the first message of a socket."""
        session = self.session
        own: JsonObject = {"session": session.id, "resume_token": self.resume_token, "resumed": resumed}
        self.view.config(facts | own | {"received": session.received if resumed else 0})

    def replay(self, last_seq: int, facts: JsonObject) -> None:
        """Start the outbox anew for a client that has seen everything up to ``last_seq``."""
        self.outbox.clear()
        self.greet(facts, resumed=True)
        self.view.replay(last_seq)

    @property
    def over(self) -> bool:
        """Tell whether the session has ended."""
        return self.session.state is State.ENDED
