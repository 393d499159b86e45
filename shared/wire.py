"""Encodes messages as frames and decodes them: ``[tag, msgpack header, payload?]`` (core).

The header is an array of the message's fields, in the order of the class; ``bytes`` fields are frames of their own.
Decoding checks every type and bound: whatever the frames are, it raises nothing but `WireError`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgpack

from shared import messages as m
from shared.errors import WireError

Message = m.ToWorker | m.ToGateway

_TAGS: dict[bytes, type[Message]] = {
    b"W": m.Welcome,
    b"I": m.Identify,
    b"P": m.Prepare,
    b"O": m.Open,
    b"A": m.Audio,
    b"Z": m.Finalize,
    b"F": m.Finish,
    b"C": m.Close,
    b"r": m.Register,
    b"h": m.Heartbeat,
    b"o": m.Opened,
    b"f": m.NoFreeSlot,
    b"y": m.Hypothesis,
    b"d": m.Finished,
    b"x": m.StreamFailed,
    b"g": m.Goodbye,
}
_TAG_OF = {kind: tag for tag, kind in _TAGS.items()}

MAX_HEADER_BYTES = 256 * 1024
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
MAX_STRING_BYTES = 16 * 1024
MAX_ITEMS = 4096
_MAX_INT = 2**53

_Check = Callable[[Any, str], Any]


def encode(message: Message) -> list[bytes]:
    """Return the message's frames.

    Raises:
        WireError: a field has the wrong type, is too long or is not finite.
    """
    kind: Any = type(message)
    header, payload = [], []
    for name, read in _readers(kind):
        value = getattr(message, name)
        if read is not None:
            flat = _flatten(value)
            read(flat, f"{kind.__name__}.{name}")
            header.append(flat)
        elif isinstance(value, bytes):
            payload.append(value)
        else:
            raise WireError(f"{kind.__name__}.{name}: expected bytes, got {type(value).__name__}")
    packed = msgpack.packb(header, use_bin_type=True)
    if len(packed) > MAX_HEADER_BYTES or any(len(part) > MAX_PAYLOAD_BYTES for part in payload):
        raise WireError(f"{kind.__name__} is too long to send")
    return [_TAG_OF[kind], packed, *payload]


def decode(frames: Sequence[bytes]) -> Message:
    """Return the message in the frames.

    Raises:
        WireError: there is none; the text says what is wrong.
    """
    if len(frames) < 2:
        raise WireError(f"a message has at least 2 frames, got {len(frames)}")
    kind: Any = _TAGS.get(bytes(frames[0]))
    if kind is None:
        raise WireError(f"unknown tag {bytes(frames[0][:8])!r}")
    header = _unpack(frames[1], kind.__name__)
    payload = list(frames[2:])
    readers = _readers(kind)
    if len(payload) != sum(read is None for _, read in readers) or len(header) + len(payload) != len(readers):
        raise WireError(f"{kind.__name__} has {len(readers)} fields, got {len(header)} and {len(payload)} frames")
    values, items = [], iter(header)
    for name, read in readers:
        if read is None:
            part = payload.pop(0)
            if len(part) > MAX_PAYLOAD_BYTES:
                raise WireError(f"{kind.__name__}.{name} is longer than {MAX_PAYLOAD_BYTES} bytes")
            values.append(bytes(part))
        else:
            values.append(read(next(items), f"{kind.__name__}.{name}"))
    message: Message = kind(*values)
    return message


def _unpack(header: bytes, what: str) -> list[Any]:
    if len(header) > MAX_HEADER_BYTES:
        raise WireError(f"{what}: a header of {len(header)} bytes")
    try:
        value = msgpack.unpackb(
            header,
            raw=False,
            use_list=True,
            max_str_len=MAX_STRING_BYTES,
            max_array_len=MAX_ITEMS,
            max_map_len=0,
            max_bin_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise WireError(f"{what}: not msgpack within bounds ({type(error).__name__})") from error
    if not isinstance(value, list):
        raise WireError(f"{what}: the header is no array")
    return value


def _flatten(value: Any) -> Any:
    if is_dataclass(value):
        return [_flatten(getattr(value, f.name)) for f in fields(value)]
    if isinstance(value, tuple):
        if len(value) > MAX_ITEMS:
            raise WireError(f"an array of {len(value)} items")
        return [_flatten(item) for item in value]
    if isinstance(value, str):
        try:
            length = len(value.encode())
        except UnicodeEncodeError as error:
            raise WireError("a string with half a surrogate pair") from error
        if length > MAX_STRING_BYTES:
            raise WireError(f"a string of {length} bytes")
    return value


@cache
def _readers(kind: type) -> list[tuple[str, _Check | None]]:
    hints = get_type_hints(kind)
    return [(f.name, None if hints[f.name] is bytes else _reader(hints[f.name])) for f in fields(kind)]


@cache
def _reader(hint: Any) -> _Check:
    """Return the function that checks and rebuilds one value of this type."""
    if is_dataclass(hint):
        return lambda value, where: _read_part(hint, value, where)
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        inner = _reader(next(option for option in get_args(hint) if option is not NoneType))
        return lambda value, where: None if value is None else inner(value, where)
    if origin is tuple:
        item = _reader(get_args(hint)[0])
        return lambda value, where: _read_tuple(item, value, where)
    return lambda value, where: _read_scalar(hint, value, where)


def _read_part(hint: Any, value: Any, where: str) -> Any:
    readers = _readers(hint)
    if not isinstance(value, list) or len(value) != len(readers):
        raise WireError(f"{where}: expected {len(readers)} values of {hint.__name__}")
    parts = zip(readers, value, strict=True)
    return hint(*(read(item, f"{where}.{name}") for (name, read), item in parts if read is not None))


def _read_tuple(item: _Check, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise WireError(f"{where}: expected an array")
    return tuple(item(entry, where) for entry in value)


def _read_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        raise WireError(f"{where}: expected {hint.__name__}, got {type(value).__name__}")
    if hint is int and abs(value) > _MAX_INT:
        raise WireError(f"{where}: {value} is out of range")
    if hint is float and not math.isfinite(value):
        raise WireError(f"{where}: not a finite number")
    return value
