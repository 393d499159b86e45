"""The messages that both modes of ``/asr`` share (core)."""

import json

from gateway.protocols.base import JsonObject
from gateway.sessions.presenter import Greeting, Status
from shared.errors import SessionError, SessionLimitError
from shared.messages import SAMPLE_RATE

BAD_MESSAGE = "bad_message"
"""The code of the error after which the session goes on: the client sent something that was not understood."""


def dumps(message: JsonObject) -> str:
    """Return compact JSON text."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def config(greeting: Greeting, mode: str) -> JsonObject:
    """Return ``config``, the first message of a connection."""
    languages = greeting.languages
    return {
        "type": "config",
        "useAudioWorklet": True,
        "mode": mode,
        "sample_rate": SAMPLE_RATE,
        "encoding": "pcm_s16le",
        "model": greeting.model,
        "device": greeting.device,
        "multilingual": None if languages is None else len(languages) > 1,
        "languages": None if languages is None else list(languages),
        "translation": greeting.translates,
        "session": greeting.session_id,
        "resume_token": greeting.resume_token,
        "resumed": greeting.resumed,
        "received": greeting.received,
    }


def status_fields(status: Status, gpu_id: int | None) -> JsonObject:
    """Return the keys of a message that describe a status."""
    fields: JsonObject = {"code": status.value, "message": status.sentence(gpu_id)}
    return fields if gpu_id is None else fields | {"gpu_id": gpu_id}


def error_fields(error: SessionError) -> JsonObject:
    """Return the keys of a message that describe an error."""
    fields: JsonObject = {"error": error.message, "code": error.code}
    if isinstance(error, SessionLimitError) and error.received is not None:
        fields["received"] = error.received
    return fields if error.retry_after_s is None else fields | {"retry_after_s": error.retry_after_s}
