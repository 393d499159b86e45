"""Read the JSON that the server sends on `/asr` into `events`.

Keys that are absent have a default and unknown keys are ignored, so that an older client understands a newer server;
a known key of the wrong kind raises `ProtocolError`.
"""

import json
import types
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import cache, partial
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from . import events

_T = TypeVar("_T")
_Reader = Callable[[object, str], Any]

_SILENCE_SPEAKER = -2
_EVENTS: dict[object, type[events.ServerEvent]] = {
    "config": events.Config,
    "status": events.Status,
    "partial": events.Partial,
    "final": events.Final,
    "ack": events.Ack,
    "moved": events.Moved,
    "hint": events.Hint,
    "error": events.ErrorEvent,
    "ready_to_stop": events.ReadyToStop,
}


class ProtocolError(ValueError):
    """The server sent something that is no message of `/asr`; the text says what."""


def decode(text: str, arrived_s: float = 0.0) -> events.ServerEvent:
    try:
        values: object = json.loads(text)
    except ValueError as error:
        raise ProtocolError(f"not JSON: {text[:80]!r}") from error
    kind: Callable[..., events.ServerEvent] = events.Update
    if isinstance(values, dict) and "type" in values:
        kind = _EVENTS.get(_string(values["type"] or "", "message.type"), events.Unknown)
    return _object(kind, values, "message", arrived_s=arrived_s)


def _object(kind: Callable[..., _T], values: object, where: str, **more: object) -> _T:
    if not isinstance(values, dict):
        raise ProtocolError(f"{where} is no JSON object")
    arguments = dict(more)
    for name, key, read, required in _fields_of(kind):
        value = values.get(key)
        if value is not None or required:
            arguments[name] = read(value, f"{where}.{key}")
    return kind(**arguments)


@cache
def _fields_of(kind: Any) -> list[tuple[str, str, _Reader, bool]]:
    hints = get_type_hints(kind)
    return [
        (
            field.name,
            field.metadata.get("key", field.name),
            _OWN_READERS.get((kind, field.name)) or _reader_of(hints[field.name]),
            field.default is MISSING,
        )
        for field in fields(kind)
        if field.name != "arrived_s"
    ]


def _reader_of(hint: Any) -> _Reader:
    if hint in _SCALARS:
        return _SCALARS[hint]
    if get_origin(hint) is tuple:
        return partial(_list, _reader_of(get_args(hint)[0]))
    if get_origin(hint) is types.UnionType:
        read = _reader_of(get_args(hint)[0])
        return lambda value, where: None if value is None else read(value, where)
    return partial(_object, hint)


def _list(read: _Reader, value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _wrong(value, where, "a list")
    return tuple(read(item, f"{where}[]") for item in value)


def _scalar(
    result: Callable[[Any], _T], accepted: type | types.UnionType, expected: str
) -> Callable[[object, str], _T]:
    def read(value: object, where: str) -> _T:
        if not isinstance(value, accepted) or isinstance(value, bool):
            raise _wrong(value, where, expected)
        return result(value)

    return read


_string = _scalar(str, str, "a string")
_integer = _scalar(int, int, "a whole number")


def _clock(value: object, where: str) -> float:
    try:
        hours, minutes, seconds = (_string(value, where) or "0:0:0").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError as error:
        raise _wrong(value, where, "a time H:MM:SS.cc") from error


def _wrong(value: object, where: str, expected: str) -> ProtocolError:
    return ProtocolError(f"{where} is not {expected}: {value!r:.80}")


_SCALARS: dict[Any, _Reader] = {
    str: _string,
    int: _integer,
    float: _scalar(float, int | float, "a number"),
    bool: lambda value, _: value is True,
}
_OWN_READERS: dict[tuple[type, str], _Reader] = {
    (events.Line, "start_s"): _clock,
    (events.Line, "end_s"): _clock,
    (events.Line, "silence"): lambda value, where: _integer(value, where) == _SILENCE_SPEAKER,
}
