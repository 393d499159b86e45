"""Core: which words of a decode's result to show, and whether they can be trusted."""

import math
from dataclasses import dataclass

from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognizer import TimedWord, WindowResult

CUT_CHARACTER = "\ufffd"
"""Stands in decoded text for bytes that are not (yet) a whole UTF-8 character."""


@dataclass(frozen=True, slots=True)
class TailWord:
    """A word after the committed tokens.

    Attributes:
        text: what it adds to the committed text; the rest of a word of which a part is committed.
        last: index after its last token in committed + new tokens.
        start: first sample.
        end: sample after the last.
        weakest: log probability of its least likely token.
        probability: mean probability of its tokens.
    """

    text: str
    last: int
    start: int
    end: int
    weakest: float
    probability: float

    @property
    def key(self) -> str:
        """Return the text by which two hypotheses are compared."""
        return self.text.strip().lower()


@dataclass(frozen=True, slots=True)
class Reading:
    """The open part of a hypothesis.

    Attributes:
        tail: its words, as far as their characters are whole.
        tokens: all its new tokens; none if it is hidden.
        trusted: False if words of it may be missing or wrong: it is shown, and committed if the utterance ends with
            it, but not before.
    """

    tail: tuple[TailWord, ...]
    tokens: tuple[int, ...]
    trusted: bool


def read(result: WindowResult, committed: int, policy: PolicySettings) -> Reading:
    """Return the open words of ``result`` after ``committed`` tokens, none if they look invented.

    As long as nothing is committed in a window, a hypothesis of low probability is hidden where there may be no speech:
    Whisper writes "Thank you." on noise, but with little confidence. Where there surely is speech it is a guess: better
    than nothing at the end of the utterance, and not trusted before.
    """
    unlikely = not committed and _mean(result) < policy.hide_logprob
    if not committed and _is_invented(result, policy):
        return Reading((), (), trusted=False)
    open_words = [word for word in result.words if word.last > committed]
    # A character whose bytes are cut by the end of the hypothesis may still become whole.
    while open_words and CUT_CHARACTER in open_words[-1].fresh:
        open_words.pop()
    tail = tuple(_tail_word(word, result, committed) for word in open_words)
    return Reading(tail, result.tokens, trusted=not (result.looped or unlikely))


def _is_invented(result: WindowResult, policy: PolicySettings) -> bool:
    mean = _mean(result)
    unlikely_words = result.no_speech > policy.hide_possible_silence and mean < policy.hide_logprob
    unlikely_speech = result.no_speech > policy.hide_no_speech and mean < policy.hide_no_speech_logprob
    return unlikely_words or unlikely_speech


def _mean(result: WindowResult) -> float:
    return sum(result.logprobs) / len(result.logprobs) if result.logprobs else 0.0


def _tail_word(word: TimedWord, result: WindowResult, committed: int) -> TailWord:
    logprobs = result.logprobs[max(word.first - committed, 0) : word.last - committed]
    return TailWord(
        # Bytes that never became a character, followed by others: nothing can complete them any more.
        text=word.fresh.replace(CUT_CHARACTER, ""),
        last=word.last,
        start=word.start,
        end=word.end,
        weakest=min(logprobs),
        probability=sum(math.exp(logprob) for logprob in logprobs) / len(logprobs),
    )
