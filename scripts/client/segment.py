"""One segment of a transcript: its words, when each was first shown and when it was committed (core)."""

from dataclasses import dataclass, field

from .messages import FinalWord
from .words import key_of, matches, words_of


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
    spoken: tuple[FinalWord, ...] = ()
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
        """Make the text final, and give the words their places in the audio where the server named the same words."""
        self.closed, self.spoken, self.language = True, spoken, language
        placed = [(text, source) for source in spoken for text in words_of(source.word)]
        if [key_of(text) for text, _ in placed] != [key_of(word.text) for word in self.words]:
            return
        for word, (_, source) in zip(self.words, placed, strict=True):
            word.start_s, word.end_s, word.probability = source.start_s, source.end_s, source.probability

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
