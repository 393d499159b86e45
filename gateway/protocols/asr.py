"""``/asr``: the protocol of each of its modes (core)."""

from gateway.protocols.asr_events import EventsProtocol
from gateway.protocols.asr_full import FullProtocol
from gateway.protocols.asr_messages import dumps, error_fields
from gateway.protocols.asr_parameters import read_parameters
from gateway.protocols.base import Handshake, HandshakeRequest
from gateway.sessions.client_session import SessionOptions
from shared.errors import SessionError


class Asr:
    """The factory for WhisperLiveKit's WebSocket endpoint and for our own ``mode=events``."""

    def open(self, request: HandshakeRequest) -> Handshake:
        """Return what the query asks for.

        Raises:
            BadParameterError: a parameter, or the value of one, is unknown.
        """
        parameters = read_parameters(request.query)
        protocol = EventsProtocol if parameters.mode == "events" else FullProtocol
        return Handshake(
            SessionOptions(parameters.language, parameters.task), protocol, parameters.resume, parameters.last_seq
        )

    def refusal(self, error: SessionError) -> str:
        """Return the error as a message of its own, which is the same in both modes."""
        return dumps({"type": "error", **error_fields(error)})
