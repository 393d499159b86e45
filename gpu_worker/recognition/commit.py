"""Core: which words of a decode's result are committed, and how its window goes on."""

from dataclasses import dataclass

from gpu_worker.recognition.abbreviations import ends_sentence
from gpu_worker.recognition.hypothesis import Reading, TailWord, read
from gpu_worker.recognition.local_agreement import agreed
from gpu_worker.recognition.planner import Plan
from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognition.window import SENTENCE_MARKS, Window, cut, ends_with, nearest_frame
from gpu_worker.recognizer import WindowResult


@dataclass(frozen=True, slots=True)
class Decision:
    """What a decode commits, and the window that follows it.

    Attributes:
        taken: the words it committed.
        window: the window to go on with; None if the utterance is over.
        closes: whether the segment ends after ``taken``.
        more: how many words of the window's tail are to be committed to the next segment.
    """

    taken: tuple[TailWord, ...]
    window: Window | None
    closes: bool
    more: int = 0


def decide(window: Window, plan: Plan, result: WindowResult, last_speech: int, policy: PolicySettings) -> Decision:
    """Commit what can be committed, and trim, restart or end the window, which is changed in place."""
    reading = read(result, len(window.committed), policy)
    window.asked_until = plan.end
    speech_end = min(last_speech, plan.end)
    if plan.final:
        return _decide_at_end(window, reading, result, speech_end, policy)
    if plan.end - window.start >= policy.hard_window_samples:
        restart: int | None = plan.end
        if result.looped and reading.tail:  # what comes after the repetition is not decoded yet
            restart = max(window.start + policy.stride_samples, min(plan.end, _covered_until(result, policy)))
    else:
        restart = _stalled_at(window, reading, result, speech_end=speech_end, final=False, policy=policy)
    if restart is not None:
        window.absorb(reading, result)
        taken = window.commit(len(reading.tail))
        return Decision(taken, _fresh(window, restart, asked_until=plan.end), closes=True)
    return _decide_underway(window, plan, reading, result, policy)


def _decide_underway(
    window: Window, plan: Plan, reading: Reading, result: WindowResult, policy: PolicySettings
) -> Decision:
    count = 0
    too_short = not window.committed and plan.end - window.start < policy.first_commit_samples
    if reading.trusted and not too_short:
        count = agreed(reading.tail, window.previous, end=result.end, cadence=plan.cadence, policy=policy)
    first = _segment_end(window, reading.tail[:count], result, plan.end, policy)
    window.absorb(reading, result)
    taken = window.commit(first or count)
    if first:
        window.segment_before = window.start - taken[-1].end
    after = None
    if plan.end - window.start >= policy.window_samples:
        decided = len(window.committed)
        after = cut(
            result.words,
            committed=decided,
            start=window.start,
            end=result.end,
            language=result.language,
            policy=policy,
        )
    if after:
        window.trim(after)
    return Decision(taken, window, closes=first > 0, more=count - len(taken))


def _segment_end(
    window: Window, taken: tuple[TailWord, ...], result: WindowResult, end: int, policy: PolicySettings
) -> int:
    """Return after how many of the words the segment closes: where a sentence ends; 0 if it goes on."""
    length = window.segment_before + end - window.start
    if length >= policy.segment_samples:
        at = {word.last: index for index, word in enumerate(result.words)}
        for count in range(len(taken), 0, -1):
            word = taken[count - 1]
            marked = ends_with(word.text, SENTENCE_MARKS)
            if marked and ends_sentence(result.words, at[word.last], result.language):
                return count
    return len(taken) if length >= policy.hard_segment_samples else 0


def _decide_at_end(
    window: Window, reading: Reading, result: WindowResult, speech_end: int, policy: PolicySettings
) -> Decision:
    restart = _stalled_at(window, reading, result, speech_end=speech_end, final=True, policy=policy)
    window.absorb(reading, result)
    taken = window.commit(len(reading.tail))
    if restart is None or window.stalls >= policy.flush_stall_tries:
        return Decision(taken, None, closes=True)
    again = _fresh(window, restart, asked_until=restart)
    again.stalls, again.segment_before = window.stalls + 1, window.segment_before + again.start - window.start
    return Decision(taken, again, closes=False)


def _stalled_at(
    window: Window, reading: Reading, result: WindowResult, *, speech_end: int, final: bool, policy: PolicySettings
) -> int | None:
    """Return where to decode anew if the hypothesis leaves speech at its end uncovered, else None.

    What was cut as a loop says nothing about the audio after it: that is decoded anew too, once the utterance is over.
    """
    limit = policy.flush_stall_samples if final else policy.stall_samples
    words = reading.tail or window.committed
    if not (reading.trusted or (result.looped and final)) or not words:
        return None
    covered = _covered_until(result, policy)
    return covered if covered > window.start and speech_end - covered > limit else None


def _covered_until(result: WindowResult, policy: PolicySettings) -> int:
    """Return where the last word ends, without what lies after it; 0 if there is no word."""
    # A punctuation mark's time stretches over any audio that is left: only words with letters or digits cover speech.
    spoken = [word for word in result.words if any(map(str.isalnum, word.text))]
    return min(spoken[-1].end, spoken[-1].start + policy.word_span_samples) if spoken else 0


def _fresh(window: Window, start: int, *, asked_until: int) -> Window:
    """Return an empty window of the same utterance that begins at ``start``."""
    start = max(window.start, nearest_frame(start))
    return Window(start, asked_until=max(start, asked_until))
