"""Core: which words of a hypothesis become final.

At a fast cadence a word is committed when two hypotheses in a row agree (LocalAgreement-2: Macháček et al. 2023,
"Turning Whisper into Real-Time Transcription System"). At a slow one waiting for the second would cost a whole period,
so a word also passes alone if it is confident and lies well before the window's end. In a backlog the audio after a
word is known already, so that its distance from the window's end is enough.
"""

from collections.abc import Sequence

from gpu_worker.recognition.hypothesis import TailWord
from gpu_worker.recognition.policy import PolicySettings


def agreed(tail: Sequence[TailWord], previous: Sequence[str], *, end: int, cadence: int, policy: PolicySettings) -> int:
    """Return how many words of ``tail``, from its first on, can be committed.

    Args:
        tail: the open words of the newest hypothesis.
        previous: keys of the open words of the one before it.
        end: where the newest hypothesis ends.
        cadence: samples between the two, or between this one and the next.
        policy: the constants.
    """
    fast = cadence < policy.fast_cadence_samples
    agreed_before = end - (policy.fast_margin_samples if fast else policy.agreed_margin_samples)
    backlog = cadence >= policy.backlog_cadence_samples
    confident_before = end - policy.confident_margin_samples
    agreeing = True
    for index, word in enumerate(tail):
        agreeing = agreeing and index < len(previous) and previous[index] == word.key
        passes = agreeing and word.end <= agreed_before
        if not passes and not fast:
            passes = word.end <= confident_before and word.weakest >= policy.confident_logprob
        passes = passes or (backlog and word.end <= end - policy.backlog_margin_samples)
        is_open = index == len(tail) - 1 and word.end > end - policy.last_margin_samples
        if is_open or not passes:
            return _before_compound(tail, index)
    return len(tail)


def _before_compound(tail: Sequence[TailWord], count: int) -> int:
    """Return ``count`` less the parts of a compound whose last part is still open.

    "cold" is not final before "-hearted" is.
    """
    while count and _continues(tail[count].text):
        count -= 1
    return count


def _continues(text: str) -> bool:
    """Return True if text continues the word before it; scripts without capitals may do without spaces."""
    return text[:1] in ("-", "'") or text[:1].lower() != text[:1].upper()
