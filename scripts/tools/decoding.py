"""Turn JSON values into frozen dataclasses, by the annotations of their fields."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Json = Mapping[str, object]

_Kind = TypeVar("_Kind")
_PLAIN: Mapping[object, tuple[Any, str]] = {
    int: (int, "whole number"),
    float: (int | float, "number"),
    str: (str, "text"),
    Json: (dict, "object"),
}


def decode(kind: type[_Kind], value: object) -> _Kind:
    """Return the value as ``kind``: a dataclass whose field names are the keys of an object; other keys are ignored.

    A missing key is the field's default, or None where None is allowed. In texts a character that could control a
    terminal is replaced by a question mark. ValueError says what is wrong with the value.
    """
    result: _Kind = _decode(kind, value)
    return result


def _decode(kind: Any, value: object) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        return None if value is None else _decode(arguments[0], value)
    if origin in {tuple, frozenset}:
        return origin(_decode(arguments[0], each) for each in _plain(list, "list", value))
    if dataclasses.is_dataclass(kind):
        return _instance(kind, _plain(dict, "object", value))
    found = _plain(*_PLAIN[kind], value)
    if kind is str:
        return "".join(each if each.isprintable() else "?" for each in found)
    return float(found) if kind is float else found


def _instance(kind: Any, body: Json) -> Any:
    values: dict[str, object] = {}
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name in body:
            try:
                values[field.name] = _decode(hints[field.name], body[field.name])
            except ValueError as error:
                raise ValueError(f"{field.name}: {error}") from error
        elif field.default is dataclasses.MISSING:
            if types.NoneType not in get_args(hints[field.name]):
                raise ValueError(f"{field.name!r} is missing")
            values[field.name] = None
    return kind(**values)


def _plain(kind: Any, name: str, value: object) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{value!r} is no {name}")  # noqa: TRY004 - a value of the body is wrong, not our argument
    return value
