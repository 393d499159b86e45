"""What the server says on `/asr`, in both modes, as frozen dataclasses (core)."""

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Config:
    """The first message: which session this is and what serves it. ``received`` counts samples kept on a resume."""

    seq: int | None
    mode: str = ""
    session: str = ""
    resume_token: str = field(default="", repr=False)
    model: str = ""
    device: str = ""
    languages: tuple[str, ...] = ()
    resumed: bool = False
    received: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """A sentence about the session's way to its GPU."""

    seq: int | None
    message: str
    gpu_id: int | None


@dataclass(frozen=True, slots=True)
class Partial:
    """An open segment: ``committed`` only grows by appending, ``tail`` may change; times in seconds of audio."""

    seq: int | None
    segment: int
    committed: str
    tail: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class FinalWord:
    """One committed word and where it was spoken, in seconds of audio."""

    word: str
    start_s: float
    end_s: float
    probability: float | None


@dataclass(frozen=True, slots=True)
class Final:
    """A closed segment: its text never changes again."""

    seq: int | None
    segment: int
    text: str
    start_s: float
    end_s: float
    words: tuple[FinalWord, ...]
    language: str | None


@dataclass(frozen=True, slots=True)
class Ack:
    """Samples safe at the server, and the sample up to which words are committed."""

    seq: int | None
    received: int
    committed_until: int


@dataclass(frozen=True, slots=True)
class Moved:
    """The session went on on another GPU."""

    seq: int | None
    gpu_id: int | None


@dataclass(frozen=True, slots=True)
class ServerError:
    """The server reports an error; ``code`` is its stable name."""

    seq: int | None
    error: str
    code: str | None
    retry_after_s: float | None


@dataclass(frozen=True, slots=True)
class Accounting:
    """What became of the audio, in samples at 16 kHz; every received sample is counted once."""

    received: int
    transcribed: int
    silence: int
    dropped: int


@dataclass(frozen=True, slots=True)
class ReadyToStop:
    """Everything is said; ``audio`` is absent in ``mode=full``."""

    seq: int | None
    audio: Accounting | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a full update, times in seconds of audio."""

    text: str
    start_s: float
    end_s: float
    silence: bool
    language: str | None


@dataclass(frozen=True, slots=True)
class Update:
    """The whole state in ``mode=full``: committed lines, and the tail of the last one."""

    status: str
    lines: tuple[Line, ...]
    tail: str
    error: str
    message: str
    gpu_id: int | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a type this client does not know; to be ignored."""

    seq: int | None
    type: str


ServerMessage: TypeAlias = (
    Config | Status | Partial | Final | Ack | Moved | ServerError | ReadyToStop | Update | Unknown
)
