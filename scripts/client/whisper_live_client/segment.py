"""One segment of a transcript: its words, when each was first shown and when it was committed."""

import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import pairwise

from .events import FinalWord

# Scripts written without spaces: each character counts as a word of its own, else a whole sentence would.
_SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\s{_SPACELESS}]+")
_SPACELESS_CHARACTER = re.compile(rf"[{_SPACELESS}\u3000-\u303f\uff00-\uff65]")


@dataclass(slots=True)
class Word:
    """One word and its times: ``shown_s``/``committed_s`` on the client's clock, the rest in seconds of audio.

    ``shown_s`` is since when the word has stood there without a break: one that vanished and came back counts from
    its return.
    """

    text: str
    shown_s: float
    committed_s: float | None = None
    start_s: float | None = None
    end_s: float | None = None
    probability: float | None = None

    def place(self, parts: list[FinalWord]) -> None:
        """Take the word's place in the audio, and its lowest probability, from its parts."""
        if parts:
            self.start_s, self.end_s = parts[0].start_s, parts[-1].end_s
        known = [part.probability for part in parts if part.probability is not None]
        self.probability = min(known, default=None)


@dataclass(frozen=True, slots=True)
class Change:
    dropped: list[Word]  # words of the old tail that it no longer has; the next segment may take them over
    violations: list[str]  # promises that the server broke


@dataclass(slots=True)
class Segment:
    """The newest state of one segment; ``words`` are those of ``committed``, then those of ``tail``."""

    id: int
    committed: str = ""
    tail: str = ""
    start_s: float = 0.0
    end_s: float = 0.0
    language: str | None = None
    closed: bool = False
    words: list[Word] = field(default_factory=list)

    def update(self, committed: str, tail: str, inherited: list[Word], now: float) -> Change:
        """Replace the text, which arrived ``now``; words that stay keep the time at which they were first shown.

        ``inherited`` words have just vanished from the segment before; this one may continue them.
        """
        violations = self._violations(committed)
        old_fixed = len(split_words(self.committed))
        texts = split_words(committed)
        fixed = len(texts)
        texts += split_words(tail)
        kept = self.words[: min(old_fixed, fixed)]
        for word, text in zip(kept, texts, strict=False):
            word.text = text
        loose = self.words[len(kept) :] + inherited
        rest = texts[len(kept) :]
        pairs = {new: old for old, new in match_words([word.text for word in loose], rest)}
        for index, text in enumerate(rest):
            shown_s = loose[pairs[index]].shown_s if index in pairs else now
            kept.append(Word(text, shown_s))
        for word in kept[:fixed]:
            word.committed_s = now if word.committed_s is None else word.committed_s
        self.committed, self.tail, self.words = committed, tail, kept
        taken = set(pairs.values())
        dropped = [word for index, word in enumerate(loose) if index not in taken]
        return Change(dropped, violations)

    def close(self, spoken: tuple[FinalWord, ...], language: str | None) -> None:
        """Make the text final, and give the words their places in the audio.

        The server may count words otherwise (a comma of its own, a word in two parts): a word takes the places of all
        parts of it, those of mere punctuation left out, and none where the parts are not those of the text.
        """
        self.closed, self.language = True, language
        parts = list(zip(locate(self.committed, [part.word for part in spoken]), spoken, strict=False))
        for word, (begin, end) in zip(self.words, word_spans(self.committed), strict=False):
            here = [part for (part_begin, part_end), part in parts if part_begin < end and part_end > begin]
            word.place([part for part in here if is_spoken(part.word)] or here)

    def _violations(self, committed: str) -> list[str]:
        old, new = self.committed.strip(), committed.strip()
        if self.closed and new != old:
            return [f"segment {self.id} changed after it was closed: {old!r} became {new!r}"]
        if not new.startswith(old):
            return [f"committed text of segment {self.id} changed: {old!r} became {new!r}"]
        before, after = map(split_words, (old, new))
        if [normalize(word) for word in before] != [normalize(word) for word in after[: len(before)]]:
            return [f"a committed word of segment {self.id} grew: {old!r} became {new!r}"]
        return []


def split_words(text: str) -> list[str]:
    return _WORD.findall(text)


def word_spans(text: str) -> list[tuple[int, int]]:
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
    """Return True if there is a letter or a digit in it: punctuation alone is not heard."""
    return any(character.isalnum() for character in text)


def normalize(word: str) -> str:
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


def match_words(old: list[str], new: list[str]) -> list[tuple[int, int]]:
    """Pair the indices of words that are in both lists in the same order (longest runs first)."""
    matcher = SequenceMatcher(
        None, [normalize(word) for word in old], [normalize(word) for word in new], autojunk=False
    )
    return [
        (block.a + offset, block.b + offset) for block in matcher.get_matching_blocks() for offset in range(block.size)
    ]
