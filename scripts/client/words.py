"""Cut text into words, compare them, and keep track of a word while the text around it changes (core)."""

import re
from difflib import SequenceMatcher
from itertools import pairwise

# Scripts written without spaces: each character counts as a word of its own, else a whole sentence would.
_SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\s{_SPACELESS}]+")
_SPACELESS_CHARACTER = re.compile(rf"[{_SPACELESS}\u3000-\u303f\uff00-\uff65]")


def words_of(text: str) -> list[str]:
    """Split text at white space, and scripts without spaces at every character."""
    return _WORD.findall(text)


def spans_of(text: str) -> list[tuple[int, int]]:
    """Return where in the text each of `words_of` begins and ends."""
    return [match.span() for match in _WORD.finditer(text)]


def locate(text: str, pieces: list[str]) -> list[tuple[int, int]]:
    """Return where in the text each piece begins and ends, in order; empty if one is not there."""
    spans = []
    position = 0
    for piece in pieces:
        bare = piece.strip()
        begin = text.find(bare, position)
        if begin < 0:
            return []
        position = begin + len(bare)
        spans.append((begin, position))
    return spans


def is_spoken(text: str) -> bool:
    """Say whether there is a letter or a digit in it: punctuation alone is not heard."""
    return any(character.isalnum() for character in text)


def key_of(word: str) -> str:
    """Reduce a word to what makes it the same word: letters and digits, without case."""
    return "".join(character for character in word if character.isalnum()).casefold() or word


def join_texts(parts: list[str]) -> str:
    """Join pieces of text with one space, or none between characters of a script without spaces."""
    texts = [text for part in parts if (text := part.strip())]
    joined = texts[0] if texts else ""
    for before, after in pairwise(texts):
        spaceless = _SPACELESS_CHARACTER.match(before[-1]) and _SPACELESS_CHARACTER.match(after[0])
        joined += after if spaceless else f" {after}"
    return joined


def matches(old: list[str], new: list[str]) -> list[tuple[int, int]]:
    """Pair the indices of words that are in both lists in the same order (longest runs first)."""
    matcher = SequenceMatcher(None, [key_of(word) for word in old], [key_of(word) for word in new], autojunk=False)
    return [
        (block.a + offset, block.b + offset) for block in matcher.get_matching_blocks() for offset in range(block.size)
    ]
