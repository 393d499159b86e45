"""The project's exceptions.

::

    WhisperLiveError
    ├── SettingsError            a setting has a wrong value: the process does not start
    ├── WireError                frames that are not one of our messages
    ├── ModelUnavailableError    no usable weights: a worker exits with 3
    └── SessionError             ends one session; has what its client gets
        ├── BadParameterError        4400  the query asks for something unknown
        ├── BadTokenError            4401  no token, or a wrong one
        ├── BadOriginError           4403  a browser page of another site
        ├── SessionLimitError        4408  idle too long, or open too long
        ├── ReplacedError            4409  a newer connection took the session over
        ├── BadAudioError            4415  the audio is not what the server understands
        ├── NoCapacityError          1013  no slot; try again later
        ├── ServiceRestartError      1012  the gateway is going away
        ├── OverloadedError          1013  audio came faster than it could be decoded, past the bound
        ├── MessageTooBigError       1009  one message above the bound
        └── RecognitionError         1011  the worker or the model failed
"""

from typing import ClassVar

_BRIEF = 40


class WhisperLiveError(Exception):
    """The root of all exceptions that this project raises on purpose."""


class SettingsError(WhisperLiveError):
    """A setting has a value that cannot be used; the message names it."""


class WireError(WhisperLiveError):
    """Bytes between gateway and worker that are not one of our messages."""


class ModelUnavailableError(WhisperLiveError):
    """No usable weights were found; the message says what was tried and why each way failed."""


class SessionError(WhisperLiveError):
    """Ends one session; its sentence goes to the client.

    Attributes:
        code: the ``code`` key of the error message to the client; stable, for programs.
        close_code: of the WebSocket close that follows.
        retry_after_s: after how many seconds another try makes sense, if it does.
    """

    code: ClassVar[str] = "internal_error"
    close_code: ClassVar[int] = 1011

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class BadParameterError(SessionError):
    """The client asked for something that does not exist; the message names it."""

    code = "bad_parameter"
    close_code = 4400


class BadTokenError(SessionError):
    """The client's token is missing or wrong."""

    code = "bad_token"
    close_code = 4401


class BadOriginError(SessionError):
    """A browser page of another site tried to open a session."""

    code = "bad_origin"
    close_code = 4403


class SessionLimitError(SessionError):
    """The session met its idle or length bound.

    Attributes:
        received: how many samples it has taken: a client that goes on in a new session begins there. None if unknown.
    """

    code = "session_limit"
    close_code = 4408
    received: int | None = None


class ReplacedError(SessionError):
    """A newer connection of the same client took the session over."""

    code = "replaced"
    close_code = 4409


class BadAudioError(SessionError):
    """The audio is in a format that the server does not read; the message names it."""

    code = "bad_audio"
    close_code = 4415


class NoCapacityError(SessionError):
    """No slot is free, or too many connections are open."""

    code = "no_capacity"
    close_code = 1013


class ServiceRestartError(SessionError):
    """The gateway stops; the client may reconnect in a moment."""

    code = "service_restart"
    close_code = 1012


class OverloadedError(SessionError):
    """Audio kept coming for longer than the bound while nothing could be decoded."""

    code = "overloaded"
    close_code = 1013


class MessageTooBigError(SessionError):
    """One WebSocket message was larger than the bound."""

    code = "message_too_big"
    close_code = 1009


class RecognitionError(SessionError):
    """The worker died or its model raised while it held the session."""

    code = "recognition_failed"
    close_code = 1011


def brief(value: str) -> str:
    """Return what a client sent as an error message may repeat it: quoted, and cut off if it is long."""
    return repr(value if len(value) <= _BRIEF else value[: _BRIEF - 1] + "…")
