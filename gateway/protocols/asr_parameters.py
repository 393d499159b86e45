"""The query of ``/asr`` (core)."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import BadParameterError, brief
from shared.languages import whisper_code

_KNOWN = frozenset({"language", "token", "mode", "task", "encoding", "resume", "last_seq", "uid"})
_MODES = ("full", "events")
_TASKS = ("transcribe", "translate")
_MAX_DIGITS = 15


@dataclass(frozen=True, slots=True)
class AsrParameters:
    """The values of a query.

    Attributes:
        mode: ``full`` or ``events``.
        language: Whisper code; None to detect it, or for a model of one language.
        task: ``transcribe`` or ``translate``.
        resume: token of the session to resume; None for a new one.
        last_seq: the last message of that session that the client has seen.
    """

    mode: str
    language: str | None
    task: str
    resume: str | None
    last_seq: int


def read_parameters(query: Mapping[str, str]) -> AsrParameters:
    """Check a query and return its values.

    Raises:
        BadParameterError: a parameter, or the value of one, is unknown; the message names it.
    """
    unknown = sorted(set(query) - _KNOWN)
    if unknown:
        raise BadParameterError(f"Unknown parameter {brief(unknown[0])}; known are {', '.join(sorted(_KNOWN))}")
    mode = query.get("mode") or "full"
    if mode not in _MODES:
        raise BadParameterError(f"mode={brief(mode)} is not supported; expected one of {', '.join(_MODES)}")
    task = query.get("task") or "transcribe"
    if task not in _TASKS:
        raise BadParameterError(f"task={brief(task)} is not supported; expected one of {', '.join(_TASKS)}")
    encoding = query.get("encoding") or "pcm_s16le"
    if encoding not in ("pcm_s16le", "s16le"):
        raise BadParameterError(f"encoding={brief(encoding)} is not supported; send pcm_s16le, 16 kHz, mono")
    language = whisper_code(query.get("language") or "auto")
    last_seq = query.get("last_seq") or "0"
    if not (last_seq.isascii() and last_seq.isdecimal() and len(last_seq) <= _MAX_DIGITS):
        raise BadParameterError(f"last_seq={brief(last_seq)} is no number of a message")
    return AsrParameters(
        mode, None if language == "auto" else language, task, query.get("resume") or None, int(last_seq)
    )
