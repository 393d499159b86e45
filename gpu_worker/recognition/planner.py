"""Core: which decode an utterance is due for."""

from dataclasses import dataclass

from gpu_worker.recognition.endpointer import Utterance
from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognition.window import Window
from gpu_worker.recognizer import VAD_FRAME


@dataclass(frozen=True, slots=True)
class Plan:
    """A decode of the current window.

    Attributes:
        end: where its window ends.
        final: whether the utterance ends with it: then everything is committed.
        cadence: samples from the last decode to this one or to the next, whichever is more.
    """

    end: int
    final: bool
    cadence: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stream has come.

    Attributes:
        received: end of its audio.
        judged_until: every sample before it has been judged as speech or silence.
    """

    received: int
    judged_until: int


def is_covered(utterance: Utterance, window: Window, policy: PolicySettings) -> bool:
    """Return True if the last decode's window contained all speech of the utterance so far."""
    needed = utterance.last_speech + policy.cover_samples
    if utterance.end is not None:
        needed = min(needed, utterance.end)
    return window.decoded and window.asked_until >= needed


def ends_without_decode(utterance: Utterance, window: Window, policy: PolicySettings) -> bool:
    """Return True if an utterance is over and needs no further decode."""
    if utterance.end is None:
        return False
    if utterance.end - window.start < policy.min_window_samples:
        return True
    return window.trusted and is_covered(utterance, window, policy)


def next_decode(
    utterance: Utterance, window: Window, progress: Progress, period: int, policy: PolicySettings
) -> Plan | None:
    """Return the decode that is due for an utterance at this step period, or None.

    In a backlog no hypothesis in between would be seen: the window goes straight to the utterance's end or to its best
    length, whichever comes first.
    """
    if utterance.end is not None and utterance.end - window.start <= policy.flush_window_samples:
        return _plan(utterance.end, final=True, window=window, period=period)
    available = _available(utterance, progress)
    if utterance.end is None:
        backlog = progress.received - progress.judged_until > policy.catch_up_samples
        if backlog and available - window.start < policy.window_samples:
            return None
        if available - window.asked_until < period:
            return None
        paused = progress.judged_until - utterance.last_speech >= policy.pause_samples
        if paused and is_covered(utterance, window, policy):
            return None
    bound = max(window.start + policy.window_samples, window.asked_until + policy.stride_samples)
    end = min(available, bound, window.start + policy.hard_window_samples)
    if end - window.start < policy.min_window_samples:
        return None
    return _plan(end, final=end == utterance.end, window=window, period=period)


def _available(utterance: Utterance, progress: Progress) -> int:
    if utterance.end is not None:
        return utterance.end
    # Less than a frame that is not judged yet is decoded as well: it is shown a little sooner.
    whole_frames = progress.received - progress.judged_until >= VAD_FRAME
    return progress.judged_until if whole_frames else progress.received


def _plan(end: int, *, final: bool, window: Window, period: int) -> Plan:
    return Plan(end, final, cadence=max(period, end - window.asked_until))
