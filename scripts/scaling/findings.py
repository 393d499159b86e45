"""What a check finds: a verdict, and in words what was measured."""

import enum
from collections.abc import Sequence


class Verdict(enum.Enum):
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    OPEN = "not_made"  # not yet, or never
    NONE = "cannot_be_made"  # on this server; `measured` says what was seen instead


Finding = tuple[bool | None, str]
"""Whether a check is passed, None where it cannot be made, and what was measured."""


def listed(values: Sequence[object]) -> str:
    texts = [str(value) for value in values]
    if len(texts) > 8:
        texts = [*texts[:4], "…", *texts[-2:]]
    return f"[{', '.join(texts)}]"


def plural(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def gpu_list(numbers: Sequence[int]) -> str:
    """Return the numbers of GPUs in words, many as their count."""
    return f"GPU {', '.join(map(str, numbers))}" if len(numbers) <= 8 else f"{len(numbers)} GPUs"
