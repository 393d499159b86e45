"""What the server says on `/asr`, in both modes, as frozen dataclasses.

A field's ``key`` is its name in the JSON where that differs; a field without a default has to be there.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

_START, _END = {"key": "start"}, {"key": "end"}


@dataclass(frozen=True, slots=True)
class Event:
    """One message: ``seq`` grows with each (None in ``mode=full``), ``arrived_s`` is its ``time.monotonic()``."""

    seq: int | None
    arrived_s: float = field(default=0.0, kw_only=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Config(Event):
    """The first message: which session this is and what serves it. ``received`` counts samples kept on a resume."""

    mode: str = ""
    session: str = ""
    resume_token: str = field(default="", repr=False)
    model: str = ""
    device: str = ""
    languages: tuple[str, ...] = ()
    resumed: bool = False
    received: int = 0


@dataclass(frozen=True, slots=True)
class Status(Event):
    """A sentence about the session's way to its GPU, or (``seq=None``) of this client about its connection.

    ``code`` is the stable name of a sentence of the server.
    """

    message: str = ""
    gpu_id: int | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class Partial(Event):
    """An open segment: ``committed`` only grows by appending, ``tail`` may change; times in seconds of audio."""

    segment: int
    committed: str = ""
    tail: str = ""
    start_s: float = field(default=0.0, metadata=_START)
    end_s: float = field(default=0.0, metadata=_END)


@dataclass(frozen=True, slots=True)
class FinalWord:
    """One committed word and where it was spoken, in seconds of audio."""

    word: str = ""
    start_s: float = field(default=0.0, metadata=_START)
    end_s: float = field(default=0.0, metadata=_END)
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Final(Event):
    """A closed segment: its text never changes again."""

    segment: int
    text: str = ""
    start_s: float = field(default=0.0, metadata=_START)
    end_s: float = field(default=0.0, metadata=_END)
    words: tuple[FinalWord, ...] = ()
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Ack(Event):
    """Samples safe at the server, and the sample up to which words are committed."""

    received: int
    committed_until: int


@dataclass(frozen=True, slots=True)
class Moved(Event):
    """The session went on on another GPU."""

    gpu_id: int | None = None


@dataclass(frozen=True, slots=True)
class Hint(Event):
    """What the server noticed about the audio, under a stable ``code``; the session goes on."""

    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class ErrorEvent(Event):
    """The server reports an error; ``code`` is its stable name."""

    error: str = ""
    code: str | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Accounting:
    """What became of the audio, in samples at 16 kHz; every received sample is counted once."""

    received: int = 0
    transcribed: int = 0
    silence: int = 0
    dropped: int = 0
    unclear: int = 0


@dataclass(frozen=True, slots=True)
class ReadyToStop(Event):
    """The session's end: all its text has been sent. ``audio`` is absent in ``mode=full``."""

    audio: Accounting | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a full update, times in seconds of audio."""

    text: str = ""
    start_s: float = field(default=0.0, metadata=_START)
    end_s: float = field(default=0.0, metadata=_END)
    silence: bool = field(default=False, metadata={"key": "speaker"})
    language: str | None = field(default=None, metadata={"key": "detected_language"})


@dataclass(frozen=True, slots=True)
class Update(Event):
    """The whole state in ``mode=full``: committed lines, and the tail of the last one."""

    status: str = ""
    lines: tuple[Line, ...] = ()
    tail: str = field(default="", metadata={"key": "buffer_transcription"})
    error: str = ""
    message: str = ""
    gpu_id: int | None = None
    code: str = ""
    hint: str = ""
    hint_code: str = ""


@dataclass(frozen=True, slots=True)
class Unknown(Event):
    """A message of a type this client does not know; to be ignored."""

    type: str = ""


ServerEvent: TypeAlias = (
    Config | Status | Partial | Final | Ack | Moved | Hint | ErrorEvent | ReadyToStop | Update | Unknown
)
