"""What a JSON body of the gateway should hold; each raises TypeError with what it found instead (core)."""

from collections.abc import Mapping, Sequence
from typing import cast

Json = Mapping[str, object]


def integer(value: object) -> int:
    """Return a whole number."""
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value


def number(value: object) -> float:
    """Return a number."""
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def optional_number(value: object) -> float | None:
    """Return a number, or None for null."""
    return None if value is None else number(value)


def word(value: object) -> str:
    """Return a text that a terminal may show."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return "".join(each if each.isprintable() else "?" for each in value)  # it goes to somebody's terminal


def optional_word(value: object) -> str | None:
    """Return such a text, or None for null."""
    return None if value is None else word(value)


def mapping(value: object) -> Json:
    """Return an object."""
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no object")
    return value


def items(value: object) -> list[object]:
    """Return a list."""
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


def mappings(value: object) -> Sequence[Json]:
    """Return a list of objects."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise TypeError(f"{value!r} is no list of objects")
    return cast("Sequence[Json]", value)


def words(value: object) -> Sequence[str]:
    """Return a list of texts."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{value!r} is no list of strings")
    return cast("Sequence[str]", value)
