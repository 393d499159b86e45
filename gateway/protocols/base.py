"""The seam between the gateway and the protocols that clients speak.

A protocol is one module beside this one with a class for its sessions and a `ProtocolFactory`, and one line in
`gateway.protocols.PROTOCOLS`. Sockets, back-pressure, tokens, slots, resuming and accounting are the gateway's.
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


# --- what a client says -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """PCM of any length: s16le, 16 kHz, mono; a sample may be cut in two across messages."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class AudioEnded:
    """The client has said everything: flush, then tell it so."""


@dataclass(frozen=True, slots=True)
class CommitRequested:
    """Commit everything said so far, then go on."""


@dataclass(frozen=True, slots=True)
class KeptAlive:
    """A sign of life that brings no audio."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that was not understood, with the sentence that tells the client so; the session goes on."""

    sentence: str


ClientEvent = AudioReceived | AudioEnded | CommitRequested | KeptAlive | Rejected


# --- one session's protocol ---------------------------------------------------------------------------------


class ClientProtocol(Presenter):
    """One session's wire format: frames of the client in, messages for it out (as its session's presenter).

    It outlives the client's socket, and is used again when the client resumes.

    Args:
        transcript: the session's text.
        queue: what waits to be sent; `encode` makes its messages into frames.
    """

    @abstractmethod
    def __init__(self, transcript: Transcript, queue: SendQueue[Any]) -> None: ...

    @staticmethod
    @abstractmethod
    def encode(message: Any, seq: int) -> Frame:
        """Return a queued message, the ``seq``-th of the session, as a WebSocket frame."""

    @abstractmethod
    def receive(self, frame: Frame) -> Sequence[ClientEvent]:
        """Return what a WebSocket message of the client says."""


# --- a handshake --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HandshakeRequest:
    """What a client's upgrade request holds beside its path; its token and origin have been checked."""

    headers: Mapping[str, str]
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client asks for.

    Attributes:
        options: how its audio is to be recognised.
        protocol: the class that speaks with it.
        resume_token: of the session that it goes on with; None for a new one.
        last_seq: the last message of that session that it has seen.
    """

    options: SessionOptions
    protocol: type[ClientProtocol]
    resume_token: str | None = None
    last_seq: int = 0


class ProtocolFactory(Protocol):
    """What is served under one path."""

    def open(self, request: HandshakeRequest) -> Handshake:
        """Read a request.

        Raises:
            SessionError: it asks for something that there is not; the message names it.
        """

    def refusal(self, error: SessionError) -> Frame:
        """Return the message for a client that has no session (or no longer); a close with its code follows."""
