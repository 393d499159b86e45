"""Core: one session's recognition policy: audio and a model's answers in, committed words and a tail out.

There is no clock: "now" is a position in the audio, so that the same audio and the same order of calls give the same
words. A late step is a bigger step; nothing is dropped.
"""

from collections import deque

import numpy as np

from gpu_worker.recognition.accounting.unclear import UnclearFinder
from gpu_worker.recognition.accounting.voice_check import VoiceCheck
from gpu_worker.recognition.commit import decide
from gpu_worker.recognition.endpointer import Endpointer, Utterance
from gpu_worker.recognition.hypothesis import TailWord
from gpu_worker.recognition.language import Language
from gpu_worker.recognition.planner import Plan, Progress, ends_without_decode, is_covered, next_decode
from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognition.reporter import StreamReporter
from gpu_worker.recognition.sample_buffer import SAMPLE_BYTES, SampleBuffer
from gpu_worker.recognition.window import Window, next_frame
from gpu_worker.recognizer import FRAME, VAD_FRAME, VadRequest, VadResult, WindowRequest, WindowResult
from shared.messages import AudioAccounting, Finished, Hypothesis, ResumeState


class Stream:
    """One session inside a worker.

    The worker feeds audio (`receive`), asks for work (`vad_request`, `window_request`), brings the results
    (`on_vad`, `on_decode`) and sends what `take` returns. Audio and controls may come while a request is out.
    """

    def __init__(
        self,
        *,
        key: int,
        lease: int,
        session: str,
        language: str | None,
        task: str,
        start: int,
        resume: ResumeState | None,
        policy: PolicySettings,
    ) -> None:
        """Begin at ``start``, or where another worker left off.

        Raises:
            ValueError: ``start`` is after the first sample that ``resume`` needs.
        """
        accounting = resume.accounting if resume else AudioAccounting(start, 0, 0)
        if start > accounting.until:
            raise ValueError(f"audio from {start} leaves a gap: the stream goes on from {accounting.until}")
        self.key, self.lease, self.session = key, lease, session
        self._task = task
        self._policy = policy
        self._language = Language(language, resume.language if resume else None, policy)
        self._audio = SampleBuffer(accounting.until)
        self._reporter = StreamReporter(
            lease=lease,
            opening=accounting,
            language=self._language.used,
            unclear=resume.unclear if resume else (),
        )
        self._voice_check = VoiceCheck(policy.keep_alive_threshold)
        self._floor = resume.window_start if resume else accounting.until  # no later window starts before it
        self._endpointer = Endpointer(judged_until=accounting.until, ignore_before=self._floor, policy=policy)
        self._unclear = UnclearFinder(self._floor, policy)
        self._window: Window | None = None
        self._vad_until: int | None = None  # end of the VAD request that is out
        self._pending: Plan | None = None  # the decode that is out
        self._period = 0  # the last step's, in samples
        self._commit_points: deque[int] = deque()  # where `finalize` asked to commit, in order
        self._paused_at = -1  # where no audio followed for a while
        self._finish_at: int | None = None
        self._finished = False
        self._resumed_at = resume.window_start if resume and resume.speaking else 0  # start of a resumed window
        self._settled = accounting.until  # the last worker committed everything before it
        if resume:
            self._resume(resume)

    def _resume(self, state: ResumeState) -> None:
        start = state.window_start
        if not state.speaking:
            # What lies between is the end of an utterance that the last worker decoded, with all its words committed.
            self._settled = max(start, state.accounting.until)
            self._reporter.ledger.decoded(state.accounting.until, self._settled)
            self._reporter.resume_at(self._settled, inside=False)
            return
        self._settled = settled = max([start, *(item.end for item in state.committed)])
        # The endpointer starts without the VAD's memory: it gets the pre-roll's length to find the speech again.
        self._endpointer.resume(start, settled + self._policy.pre_roll_samples)
        # No decode before the audio of the committed tokens has arrived: they are forced into it.
        self._window = Window(start, asked_until=settled, committed=state.committed, draft=state.draft)
        self._unclear.resume(state.committed)
        self._reporter.resume_at(settled, inside=True)

    @property
    def received(self) -> int:
        """Return the position after the last sample received."""
        return self._audio.end

    @property
    def decoded_until(self) -> int:
        """Return the position before which every sample was decoded or is known as silence."""
        return self._reporter.decoded_until

    def lag(self) -> int:
        """Return how many samples were received that are neither decoded nor known as silence."""
        return self.received - self.decoded_until

    def take(self) -> list[Hypothesis | Finished]:
        """Return the messages since the last call, in order."""
        return self._reporter.take()

    # --- audio and controls ---------------------------------------------------------------------------------

    def receive(self, start: int, pcm: bytes) -> None:
        """Take s16le samples from ``start`` on; samples that arrived before are skipped.

        Raises:
            ValueError: half a sample, a gap, or audio after the end that `finish` named.
        """
        end = start + len(pcm) // SAMPLE_BYTES
        if self._finish_at is not None and end > self._finish_at:
            raise ValueError(f"audio up to {end} after the end at {self._finish_at}")
        self._audio.append(start, pcm)
        self._advance()

    def finalize(self, at: int, *, paused: bool = False) -> None:
        """Commit all words before sample ``at`` as soon as they are decoded, then go on.

        An utterance that has only begun there is closed once it is long enough to be understood, or at once if
        ``paused`` says that no audio has followed.
        """
        if at <= self._settled:
            # The last worker has: an utterance that ended there would be decoded and committed a second time.
            return
        if paused:
            self._paused_at = at
            while self._commit_points and self._commit_points[-1] > at:
                self._commit_points.pop()
        if not self._commit_points or at > self._commit_points[-1]:
            self._commit_points.append(at)
        self._advance()

    def finish(self, at: int) -> None:
        """End the audio at sample ``at``; when everything is committed `take` yields `Finished`.

        Raises:
            ValueError: more audio than that has arrived.
        """
        if at < self.received:
            raise ValueError(f"the audio cannot end at {at}: {self.received} samples are here")
        self._finish_at = at
        self._advance()

    # --- endpointing ----------------------------------------------------------------------------------------

    def vad_request(self) -> VadRequest | None:
        """Return audio that has not been judged yet, in whole frames; the session's last frame is padded with zeros.

        None if there is none, or too little to be worth a call while nothing else needs it.
        """
        if self._vad_until is not None or self._finished:
            return None
        start = self._endpointer.judged_until
        available = min([self.received, start + self._policy.vad_max_samples, *self._commit_points])
        until = start + max(0, available - start) // VAD_FRAME * VAD_FRAME
        if until == start and available == self._finish_at:
            until = available
        if until == start or (until < self._endpointer.due and not self._is_awaited()):
            return None
        self._vad_until = until
        padding = _frames(until - start) * VAD_FRAME - (until - start)
        return VadRequest(self.key, np.pad(self._audio.copy(start, until), (0, padding)))

    def _is_awaited(self) -> bool:
        """Return True if a control, the end of the audio or a decode needs the audio judged now."""
        if self._commit_points or self._finish_at is not None:
            return True
        if self._pending or not self._window or self.received - self._window.asked_until < self._period:
            return False
        return not is_covered(self._endpointer.utterances[0], self._window, self._policy)

    def on_vad(self, result: VadResult) -> None:
        """Take the answer to the last `vad_request`.

        Raises:
            ValueError: nothing was asked, or the answer does not fit it.
        """
        if self._vad_until is None:
            raise ValueError("no VAD request is out")
        frames = _frames(self._vad_until - self._endpointer.judged_until)
        if len(result.probabilities) != frames:
            raise ValueError(f"{len(result.probabilities)} probabilities for {frames} frames")
        self._count_resumed_speech(result.probabilities)
        judged = self._audio.copy(self._endpointer.judged_until, self._vad_until)
        self._voice_check.update(judged, result.probabilities)
        self._reporter.no_voice = self._voice_check.no_voice
        self._endpointer.update(result.probabilities, self._vad_until)
        self._vad_until = None
        self._advance()

    def _count_resumed_speech(self, probabilities: tuple[float, ...]) -> None:
        """Count speech before a resumed window as transcribed: the last worker decoded it."""
        for index, probability in enumerate(probabilities):
            first = self._endpointer.judged_until + index * VAD_FRAME
            if first >= self._resumed_at:
                break
            if probability >= self._policy.keep_alive_threshold:
                self._reporter.ledger.decoded(first, min(first + VAD_FRAME, self._resumed_at))

    # --- the window -----------------------------------------------------------------------------------------

    def window_request(self, period: int) -> WindowRequest | None:
        """Return the decode that is due at a step period in samples; None if none is due, or if one is out."""
        self._period = period
        if self._pending or not self._window:
            return None
        progress = Progress(self.received, self._endpointer.judged_until)
        plan = next_decode(self._endpointer.utterances[0], self._window, progress, period, self._policy)
        if plan is None:
            return None
        self._pending = plan
        start = self._window.start
        context = min(self._policy.context_samples, start - self._audio.start)
        return WindowRequest(
            key=self.key,
            pcm=self._audio.copy(start - context, plan.end),
            start=start,
            context=context,
            language=self._language.for_window(start, plan.end),
            task=self._task,
            prompt=(),
            committed=tuple(item.token for item in self._window.committed),
            draft=self._window.draft,
            reuse=period >= self._policy.reuse_cadence_samples,
        )

    def on_decode(self, result: WindowResult) -> None:
        """Take the answer to the last `window_request`.

        Raises:
            ValueError: nothing was asked.
        """
        plan, window = self._pending, self._window
        if plan is None or window is None:
            raise ValueError("no window request is out")
        self._pending = None
        self._reporter.ledger.decoded(window.start, plan.end)
        self._language.on_decode(result.language, window.start, plan.end)
        utterance = self._endpointer.utterances[0]
        decision = decide(window, plan, result, utterance.last_speech, self._policy)
        shown = bool(decision.taken or window.committed or window.draft)
        self._unclear.on_decode(result, shown=shown)
        self._note_unclear(utterance, decision.taken, decision.window.start if decision.window else None)
        self._window = decision.window
        if decision.window is None:
            self._floor = max(self._floor, plan.end)
            self._endpointer.utterances.popleft()
            self._open_window()
        self._emit(decision.taken, closes=decision.closes)
        if decision.window and decision.more:
            # A message of their own: the resume state of each message matches the words committed so far.
            more = decision.window.commit(decision.more)
            self._unclear.on_words(more)
            self._emit(more, closes=False)
        self._advance()

    def _note_unclear(self, utterance: Utterance, taken: tuple[TailWord, ...], until: int | None) -> None:
        """Note which speech has brought no word, before a window's start ``until`` or to the end of the utterance."""
        self._unclear.on_words(taken)
        end = utterance.last_speech if utterance.end is None else utterance.end
        decided = min(end, self.received) if until is None else until
        self._reporter.note_unclear(self._unclear.decide(utterance, decided, over=until is None))

    def _open_window(self) -> None:
        if self._window is None and self._endpointer.utterances:
            utterance = self._endpointer.utterances[0]
            start = next_frame(max(utterance.start, self._floor))
            self._window = Window(start, asked_until=max(start, utterance.onset))

    # --- decisions without a decode -------------------------------------------------------------------------

    def _advance(self) -> None:
        """Take every decision that needs no decode."""
        self._reach_commit_points()
        if self._pending is None:
            self._open_window()
            while self._window and ends_without_decode(self._endpointer.utterances[0], self._window, self._policy):
                self._end_without_decode(self._window)
        self._move_positions()
        if self._reporter.unreported >= self._policy.idle_report_samples:
            self._emit((), closes=False)
        if self._endpointer.judged_until == self._finish_at and not self._window and not self._finished:
            self._finished = True
            self._reporter.finished(self._finish_at)

    def _reach_commit_points(self) -> None:
        judged = self._endpointer.judged_until
        while (
            self._commit_points
            and judged + VAD_FRAME > self._commit_points[0]
            and self.received >= self._commit_points[0]
        ):
            point = self._commit_points.popleft()
            long_enough = point if point == self._paused_at else self._endpointer.long_enough(point)
            if long_enough > point:
                if not self._commit_points or self._commit_points[-1] < long_enough:
                    self._commit_points.append(long_enough)
            else:
                self._endpointer.close(max(judged, point))
        if judged == self._finish_at:
            self._endpointer.close(judged)

    def _end_without_decode(self, window: Window) -> None:
        utterance = self._endpointer.utterances.popleft()
        self._note_unclear(utterance, window.tail, None)
        if utterance.end is not None:
            self._floor = max(self._floor, utterance.end)
        if window.decoded:
            self._floor = max(self._floor, window.asked_until)
        self._window = None
        self._open_window()
        self._emit(window.tail, closes=True)

    def _move_positions(self) -> None:
        """Advance the positions and drop the audio before them."""
        window, judged = self._window, self._endpointer.judged_until
        if window:
            keep, decoded = window.start - self._policy.context_samples, window.asked_until
            utterance = self._endpointer.utterances[0]
            if utterance.end is None and is_covered(utterance, window, self._policy):
                decoded = max(decoded, judged)
        else:
            keep, decoded = judged - self._policy.silence_keep_samples, judged
        self._reporter.move(keep, min(decoded, self.received))
        self._audio.drop_before(self._reporter.keep_from)

    def _emit(self, taken: tuple[TailWord, ...], *, closes: bool) -> None:
        if taken:
            self._language.on_commit()
            self._reporter.language, self._reporter.settled_language = self._language.used, self._language.settled
        self._move_positions()
        self._reporter.hypothesis(taken, self._window, floor=self._floor, received=self.received, closes=closes)

    def check(self) -> None:
        """Assert what must hold between two calls."""
        accounting, utterances = self._reporter.ledger.accounting, self._endpointer.utterances
        start = self._audio.start
        assert self._finished or accounting.until == self._reporter.keep_from == start
        assert start <= self._endpointer.judged_until <= self.received
        assert start <= self.decoded_until <= self.received
        assert bool(self._window) == bool(utterances)
        assert self._window is None or (self._window.start % FRAME == 0 and start <= self._window.start)
        assert all(utterance.end is not None for utterance in list(utterances)[:-1])
        assert self._endpointer.speaking == bool(utterances and utterances[-1].end is None)


def _frames(length: int) -> int:
    return -(-length // VAD_FRAME)
