"""``/asr``: reads its query, and picks the mode (core)."""

from gateway.protocols.asr_events import EventsProtocol
from gateway.protocols.asr_full import FullProtocol
from gateway.protocols.asr_messages import dumps, error_fields
from gateway.protocols.asr_parameters import read_parameters
from gateway.protocols.base import Handshake, HandshakeRequest
from gateway.sessions.client_session import SessionOptions
from shared.errors import SessionError


class Asr:
    """WhisperLiveKit's WebSocket endpoint, and our own mode of it."""

    def open(self, request: HandshakeRequest) -> Handshake:
        """Read the query.

        Raises:
            BadParameterError: a parameter, or a value of one, that there is not.
        """
        asked = read_parameters(request.query)
        protocol = EventsProtocol if asked.mode == "events" else FullProtocol
        return Handshake(SessionOptions(asked.language, asked.task), protocol, asked.resume, asked.last_seq)

    def refusal(self, error: SessionError) -> str:
        """Return the error that stands alone, as both modes have it before any text."""
        return dumps({"type": "error", **error_fields(error)})
