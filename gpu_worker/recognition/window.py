"""Core: the window of the current utterance: its committed words, its tail, and where it is cut."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpu_worker.recognition.abbreviations import ends_sentence
from gpu_worker.recognition.hypothesis import Reading, TailWord
from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognizer import FRAME, TimedWord, WindowResult
from shared.messages import CommittedToken

SENTENCE_MARKS = (".", "?", "!", "。", "？", "！")  # noqa: RUF001 (the marks of Chinese and Japanese)
CLAUSE_MARKS = (*SENTENCE_MARKS, ",", ";", ":", "，", "、", "；", "：")  # noqa: RUF001
CLOSING = "\"'”’»)]」』"  # noqa: RUF001 (quotes and brackets may follow a mark)


@dataclass(slots=True)
class Window:
    """The state of one window.

    Attributes:
        start: its first sample, a multiple of `FRAME`.
        asked_until: where the last decode was asked to end; ``start`` or the onset before the first.
        decoded: whether there was a decode at all.
        committed: tokens committed in it, with the ends of their words.
        tail: the open words of the last hypothesis.
        draft: the open tokens of the last hypothesis.
        previous: keys of the open words, for the next agreement.
        trusted: whether the last hypothesis may be committed as it is.
        stalls: how often the end of its utterance was decoded anew.
        segment_before: how much of the open segment lies before ``start``; negative if it began after it.
    """

    start: int
    asked_until: int
    decoded: bool = False
    committed: tuple[CommittedToken, ...] = ()
    tail: tuple[TailWord, ...] = ()
    draft: tuple[int, ...] = ()
    previous: tuple[str, ...] = ()
    trusted: bool = True
    stalls: int = 0
    segment_before: int = 0

    def absorb(self, reading: Reading, result: WindowResult) -> None:
        """Replace the tail by that of a new hypothesis."""
        ends = {index: word.end for word in result.words for index in range(word.first, word.last)}
        self.committed = tuple(
            CommittedToken(item.token, ends.get(index, item.end)) for index, item in enumerate(self.committed)
        )
        self.tail, self.draft = reading.tail, reading.tokens
        self.previous = tuple(word.key for word in reading.tail) if reading.trusted else ()
        self.trusted = reading.trusted
        self.decoded = True

    def commit(self, count: int) -> tuple[TailWord, ...]:
        """Commit the first ``count`` words of the tail and return them."""
        taken, self.tail = self.tail[:count], self.tail[count:]
        for word in taken:
            tokens = word.last - len(self.committed)
            self.committed += tuple(CommittedToken(token, word.end) for token in self.draft[:tokens])
            self.draft = self.draft[tokens:]
        self.previous = self.previous[count:]
        return taken

    def trim(self, after: TimedWord) -> None:
        """Move the window's start to the end of the word ``after``."""
        start = nearest_frame(after.end)
        self.segment_before += start - self.start
        self.start = start
        self.committed = self.committed[after.last :]
        self.tail = tuple(replace(word, last=word.last - after.last) for word in self.tail)


def nearest_frame(position: int) -> int:
    """Round a position to the nearest multiple of `FRAME`."""
    return (position + FRAME // 2) // FRAME * FRAME


def next_frame(position: int) -> int:
    """Round a position up to a multiple of `FRAME`."""
    return -(-position // FRAME) * FRAME


def cut(
    words: Sequence[TimedWord], *, committed: int, start: int, end: int, language: str, policy: PolicySettings
) -> TimedWord | None:
    """Return the word after which to trim the window from ``start`` to ``end``, None if there is none.

    Only after committed words (the first ``committed`` tokens): best after a sentence; where that would leave too much,
    after a clause; else between two words.
    """
    candidates = [
        (index, word, following)
        for index, (word, following) in enumerate(zip(words, [*words[1:], None], strict=False))
        if word.last <= committed and word.end - start >= policy.min_cut_samples
    ]

    def latest(marks: tuple[str, ...], margin: int) -> TimedWord | None:
        fitting = [
            word
            for index, word, following in candidates
            if word.end <= end - margin
            and ends_with(word.text, marks)
            and _begins_word(following)
            and ends_sentence(words, index, language)
        ]
        return fitting[-1] if fitting else None

    sentence = latest(SENTENCE_MARKS, policy.sentence_margin_samples)
    if sentence and end - sentence.end <= policy.sentence_rest * policy.window_samples:
        return sentence
    clause = latest(CLAUSE_MARKS, policy.sentence_margin_samples)
    if clause and end - clause.end <= policy.clause_rest * policy.window_samples:
        return clause
    return latest(("",), policy.word_margin_samples) or sentence


def ends_with(text: str, marks: tuple[str, ...]) -> bool:
    """Return True if a word's text ends with one of the marks, quotes and brackets aside."""
    return text.rstrip().rstrip(CLOSING).endswith(marks)


def _begins_word(following: TimedWord | None) -> bool:
    # Never cut within "3" "." "5" or "wood" "cutters"; scripts without spaces may be cut between any two letters.
    if following is None:
        return True
    first = following.text[:1]
    return first.isspace() or (first.isalpha() and not first.isascii())
