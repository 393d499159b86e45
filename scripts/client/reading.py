"""Read the JSON that the server sends on `/asr` into `messages` (core).

Keys that are absent have a default and unknown keys are ignored, so that an older client understands a newer server;
a known key of the wrong kind raises `ProtocolError`.
"""

import json
from collections.abc import Callable

from .messages import (
    Accounting,
    Ack,
    Config,
    Final,
    FinalWord,
    Line,
    Moved,
    Partial,
    ReadyToStop,
    ServerError,
    ServerMessage,
    Status,
    Unknown,
    Update,
)

_SILENCE_SPEAKER = -2


class ProtocolError(ValueError):
    """The server sent something that is no message of `/asr`; the text says what."""


class _Fields:
    """Reads the values of one JSON object by kind; a wrong kind is named."""

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, dict):
            raise ProtocolError(f"{where} is no JSON object")
        self._values: dict[str, object] = values
        self._where = where

    def text(self, key: str) -> str:
        """Return a string, "" where there is none."""
        return self.text_or_none(key) or ""

    def text_or_none(self, key: str) -> str | None:
        """Return a string or None."""
        value = self._values.get(key)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(key, "a string")

    def number_or_none(self, key: str) -> float | None:
        """Return a number or None."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        raise self._wrong(key, "a number")

    def number(self, key: str) -> float:
        """Return a number, 0 where there is none."""
        return self.number_or_none(key) or 0.0

    def integer_or_none(self, key: str) -> int | None:
        """Return a whole number or None."""
        value = self._values.get(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise self._wrong(key, "a whole number")

    def integer(self, key: str) -> int:
        """Return a whole number that has to be there."""
        value = self.integer_or_none(key)
        if value is None:
            raise self._wrong(key, "a whole number")
        return value

    def count(self, key: str) -> int:
        """Return a whole number, 0 where there is none."""
        return self.integer_or_none(key) or 0

    def flag(self, key: str) -> bool:
        """Return true or false, false where there is none."""
        return self._values.get(key) is True

    def items(self, key: str) -> list[object]:
        """Return a list, empty where there is none."""
        value = self._values.get(key)
        if value is None:
            return []
        if isinstance(value, list):
            return value
        raise self._wrong(key, "a list")

    def child(self, key: str) -> "_Fields | None":
        """Return an object inside this one, or None."""
        value = self._values.get(key)
        return None if value is None else _Fields(value, f"{self._where}.{key}")

    def children(self, key: str) -> list["_Fields"]:
        """Return a list of objects, empty where there is none."""
        return [_Fields(item, f"{self._where}.{key}[]") for item in self.items(key)]

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def _wrong(self, key: str, expected: str) -> ProtocolError:
        return ProtocolError(f"{self._where}.{key} is not {expected}: {self._values.get(key)!r:.80}")


def parse(text: str) -> ServerMessage:
    """Read one text frame of the server.

    Raises:
        ProtocolError: it is no JSON object, or a known key has a value of the wrong kind.
    """
    try:
        values: object = json.loads(text)
    except ValueError as error:
        raise ProtocolError(f"not JSON: {text[:80]!r}") from error
    fields = _Fields(values, "message")
    if "type" not in fields:
        return _update(fields)
    kind = fields.text("type")
    read = _READERS.get(kind)
    return read(fields) if read else Unknown(fields.integer_or_none("seq"), kind)


def seconds_of(clock: str) -> float:
    """Turn ``H:MM:SS.cc`` into seconds.

    Raises:
        ProtocolError: the text is no such time.
    """
    try:
        hours, minutes, seconds = clock.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError as error:
        raise ProtocolError(f"not a time H:MM:SS.cc: {clock!r:.40}") from error


def _config(fields: _Fields) -> Config:
    return Config(
        seq=fields.integer_or_none("seq"),
        mode=fields.text("mode"),
        session=fields.text("session"),
        resume_token=fields.text("resume_token"),
        model=fields.text("model"),
        device=fields.text("device"),
        languages=tuple(str(language) for language in fields.items("languages")),
        resumed=fields.flag("resumed"),
        received=fields.count("received"),
    )


def _status(fields: _Fields) -> Status:
    return Status(fields.integer_or_none("seq"), fields.text("message"), fields.integer_or_none("gpu_id"))


def _partial(fields: _Fields) -> Partial:
    return Partial(
        seq=fields.integer_or_none("seq"),
        segment=fields.integer("segment"),
        committed=fields.text("committed"),
        tail=fields.text("tail"),
        start_s=fields.number("start"),
        end_s=fields.number("end"),
    )


def _final(fields: _Fields) -> Final:
    return Final(
        seq=fields.integer_or_none("seq"),
        segment=fields.integer("segment"),
        text=fields.text("text"),
        start_s=fields.number("start"),
        end_s=fields.number("end"),
        words=tuple(
            FinalWord(word.text("word"), word.number("start"), word.number("end"), word.number_or_none("probability"))
            for word in fields.children("words")
        ),
        language=fields.text_or_none("language"),
    )


def _ack(fields: _Fields) -> Ack:
    return Ack(fields.integer_or_none("seq"), fields.integer("received"), fields.integer("committed_until"))


def _moved(fields: _Fields) -> Moved:
    return Moved(fields.integer_or_none("seq"), fields.integer_or_none("gpu_id"))


def _error(fields: _Fields) -> ServerError:
    return ServerError(
        seq=fields.integer_or_none("seq"),
        error=fields.text("error"),
        code=fields.text_or_none("code"),
        retry_after_s=fields.number_or_none("retry_after_s"),
    )


def _ready_to_stop(fields: _Fields) -> ReadyToStop:
    audio = fields.child("audio")
    if audio is None:
        return ReadyToStop(fields.integer_or_none("seq"), None)
    books = Accounting(
        received=audio.count("received"),
        transcribed=audio.count("transcribed"),
        silence=audio.count("silence"),
        dropped=audio.count("dropped"),
    )
    return ReadyToStop(fields.integer_or_none("seq"), books)


def _update(fields: _Fields) -> Update:
    return Update(
        status=fields.text("status"),
        lines=tuple(
            Line(
                text=line.text("text"),
                start_s=seconds_of(line.text("start") or "0:00:00"),
                end_s=seconds_of(line.text("end") or "0:00:00"),
                silence=line.integer_or_none("speaker") == _SILENCE_SPEAKER,
                language=line.text_or_none("detected_language"),
            )
            for line in fields.children("lines")
        ),
        tail=fields.text("buffer_transcription"),
        error=fields.text("error"),
        message=fields.text("message"),
        gpu_id=fields.integer_or_none("gpu_id"),
    )


_READERS: dict[str, Callable[[_Fields], ServerMessage]] = {
    "config": _config,
    "status": _status,
    "partial": _partial,
    "final": _final,
    "ack": _ack,
    "moved": _moved,
    "error": _error,
    "ready_to_stop": _ready_to_stop,
}
