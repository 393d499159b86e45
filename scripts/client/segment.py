"""One segment of a transcript: its words, when each was first shown and when it was committed (core)."""

from dataclasses import dataclass, field

from .messages import FinalWord
from .words import is_spoken, key_of, locate, matches, spans_of, words_of


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
class Said:
    """What an update of a segment brought to light.

    Attributes:
        orphans: words of the old tail that the segment no longer has; the next segment may take them over.
        violations: promises that the server broke, in words.
    """

    orphans: list[Word]
    violations: list[str]


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

    def say(self, committed: str, tail: str, adopted: list[Word], now: float) -> Said:
        """Replace the text; words that stay keep the time at which they were first shown.

        Args:
            committed: the whole committed text of this segment.
            tail: the text after it.
            adopted: words that just vanished from the segment before, which this one may continue.
            now: when the text arrived.
        """
        violations = self._broken_promises(committed)
        old_fixed = len(words_of(self.committed))
        texts = words_of(committed)
        fixed = len(texts)
        texts += words_of(tail)
        kept = self.words[: min(old_fixed, fixed)]
        for word, text in zip(kept, texts, strict=False):
            word.text = text
        loose = self.words[len(kept) :] + adopted
        rest = texts[len(kept) :]
        pairs = {new: old for old, new in matches([word.text for word in loose], rest)}
        for index, text in enumerate(rest):
            shown_s = loose[pairs[index]].shown_s if index in pairs else now
            kept.append(Word(text, shown_s))
        for word in kept[:fixed]:
            word.committed_s = now if word.committed_s is None else word.committed_s
        self.committed, self.tail, self.words = committed, tail, kept
        taken = set(pairs.values())
        orphans = [word for index, word in enumerate(loose) if index not in taken]
        return Said(orphans, violations)

    def close(self, spoken: tuple[FinalWord, ...], language: str | None) -> None:
        """Make the text final, and give the words their places in the audio.

        The server may count words otherwise (a comma of its own, a word in two parts): a word takes the places of all
        parts of it, those of mere punctuation left out, and none where the parts are not those of the text.
        """
        self.closed, self.language = True, language
        parts = list(zip(locate(self.committed, [part.word for part in spoken]), spoken, strict=False))
        for word, (begin, end) in zip(self.words, spans_of(self.committed), strict=False):
            here = [part for (part_begin, part_end), part in parts if part_begin < end and part_end > begin]
            word.place([part for part in here if is_spoken(part.word)] or here)

    def _broken_promises(self, committed: str) -> list[str]:
        old, new = self.committed.strip(), committed.strip()
        if self.closed and new != old:
            return [f"segment {self.id} changed after it was closed: {old!r} became {new!r}"]
        if not new.startswith(old):
            return [f"committed text of segment {self.id} changed: {old!r} became {new!r}"]
        before, after = map(words_of, (old, new))
        if [key_of(word) for word in before] != [key_of(word) for word in after[: len(before)]]:
            return [f"a committed word of segment {self.id} grew: {old!r} became {new!r}"]
        return []
