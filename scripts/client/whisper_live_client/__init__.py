"""Client of a live transcription server: `connect` to it, `Session.stream` audio, and take events as words come."""

from .blocking_source import BlockingSource
from .connection import ClientError, ConnectError, SessionClosedError
from .decode import ProtocolError
from .events import (
    Accounting,
    Ack,
    Config,
    ErrorEvent,
    Final,
    FinalWord,
    Line,
    Moved,
    Partial,
    ReadyToStop,
    ServerEvent,
    Status,
    Unknown,
    Update,
)
from .outcome import Exit, Outcome
from .segment import Segment, Word
from .session import Audio, Mode, Session, connect
from .subtitles import render_srt, render_text, render_vtt
from .transcribe import transcribe_file
from .transcript import Transcript

__all__ = [
    "Accounting",
    "Ack",
    "Audio",
    "BlockingSource",
    "ClientError",
    "Config",
    "ConnectError",
    "ErrorEvent",
    "Exit",
    "Final",
    "FinalWord",
    "Line",
    "Mode",
    "Moved",
    "Outcome",
    "Partial",
    "ProtocolError",
    "ReadyToStop",
    "Segment",
    "ServerEvent",
    "Session",
    "SessionClosedError",
    "Status",
    "Transcript",
    "Unknown",
    "Update",
    "Word",
    "connect",
    "render_srt",
    "render_text",
    "render_vtt",
    "transcribe_file",
]
