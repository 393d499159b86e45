"""The seam between the gateway and the protocols that clients speak.

A protocol is a module beside this one, with a `ClientProtocol` and a `ProtocolFactory`, and a line in
`gateway.protocols.PROTOCOLS`. Sockets, back-pressure, tokens, slots, resuming and accounting are not its concern.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.sessions.client_session import SessionOptions
from gateway.sessions.presenter import Presenter
from gateway.sessions.send_queue import Frame, SendQueue
from gateway.sessions.transcript import Transcript
from shared.errors import SessionError

JsonObject = dict[str, Any]


# --- events: what a client's message means -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """PCM of any length: s16le, 16 kHz, mono; a sample may be cut in two by the end of a message."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class AudioEnded:
    """No more audio will come: decode the rest, then say that the session is complete."""


@dataclass(frozen=True, slots=True)
class CommitRequested:
    """Commit the audio received so far, then go on."""


@dataclass(frozen=True, slots=True)
class KeptAlive:
    """The client is alive, though it sends no audio."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The message was not understood; ``sentence`` is for the client, and the session goes on."""

    sentence: str


ClientEvent = AudioReceived | AudioEnded | CommitRequested | KeptAlive | Rejected


# --- one session's protocol ---------------------------------------------------------------------------------


class ClientProtocol(Presenter):
    """The wire format of one session: decodes the client's messages, and queues messages to it as a `Presenter`.

    It outlives the client's connection, and is used again when the client resumes its session.

    Args:
        transcript: the session's text.
        queue: of messages to the client; `encode` makes frames of them.
    """

    @abstractmethod
    def __init__(self, transcript: Transcript, queue: SendQueue[Any]) -> None: ...

    @staticmethod
    @abstractmethod
    def encode(message: Any, seq: int) -> Frame:
        """Return the ``seq``-th message of the session as a WebSocket message."""

    @abstractmethod
    def receive(self, frame: Frame) -> Sequence[ClientEvent]:
        """Return the events that a WebSocket message of the client stands for."""


# --- a handshake --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HandshakeRequest:
    """The headers and the query of an upgrade request, whose token and origin have been checked."""

    headers: Mapping[str, str]
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Handshake:
    """What an upgrade request asks for.

    Attributes:
        options: how the audio is to be recognised.
        protocol: the class for the session.
        resume_token: of the session to resume; None for a new one.
        last_seq: the last message of that session that the client has seen.
    """

    options: SessionOptions
    protocol: type[ClientProtocol]
    resume_token: str | None = None
    last_seq: int = 0


class ProtocolFactory(Protocol):
    """The protocol, or family of protocols, that is served under one path."""

    def open(self, request: HandshakeRequest) -> Handshake:
        """Return what a request asks for.

        Raises:
            SessionError: it asks for something unknown; the message names it.
        """

    def refusal(self, error: SessionError) -> Frame:
        """Return the last message to a client without a session; a close with the error's code follows."""
