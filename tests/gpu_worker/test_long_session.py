"""Ten minutes of speech in one session: its end costs what its start did, and says when each word was said."""

import ctypes
import gc
from bisect import bisect_left
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import mean, median

import numpy as np
import psutil
import pytest
import torch

from gpu_worker.model import load_recognizer
from gpu_worker.model.checkpoint.locate import default_cache_dir
from gpu_worker.model.decoding import decode
from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognition.step import run_step
from shared.clips import load_clips
from shared.messages import Finished, Hypothesis
from tests.gpu_worker.recognition.driver import open_stream

MINUTES = 10
PERIOD = 32_000
MESSAGE = 8_000
PAUSE = 9_600

pytestmark = pytest.mark.timeout(900)  # a minute on a machine at rest; the session is had in one fixture


def resident_bytes():
    """Return this process's memory, without what the allocator keeps of what was given back."""
    gc.collect()
    getattr(ctypes.CDLL(None), "malloc_trim", int)(0)  # it is glibc's
    return psutil.Process().memory_info().rss


class Session:
    """A stream that is decoded each 2 s; each step's work, counted and not timed, and all that came out."""

    def __init__(self, made):
        self.made = made
        self.work = []
        self.retained = []
        self.resident = []
        self.words = []
        self.finished = None
        self.stream = open_stream(policy=PolicySettings())
        made.open(1)

    def noting(self, decoder, requests):
        answers = decode(decoder, requests)
        for request, said in zip(requests, answers, strict=True):
            fed = len(request.start) + len(request.committed) + len(request.draft) + len(said.tokens) - said.accepted
            self.work.append((self.stream.received, request.encoding.frames, fed))
        return answers

    def step(self):
        worked = run_step([self.stream], self.made, period=PERIOD)
        for message in self.stream.take():
            if isinstance(message, Hypothesis):
                self.words += message.words
                self.retained.append(
                    (self.stream.received, self.stream.received - message.keep_from, len(message.resume.committed))
                )
            elif isinstance(message, Finished):
                self.finished = message
        self.stream.check()
        return worked

    def run(self, pcm):
        for start in range(0, len(pcm), MESSAGE):
            self.stream.receive(start, pcm[start : start + MESSAGE].tobytes())
            while self.step():
                pass
            if start % (60 * 16_000) == 0:
                self.resident.append(resident_bytes())
        self.stream.finish(len(pcm))
        while self.step():
            pass


@pytest.fixture(scope="module")
def spoken():
    """The shipped clips over and over with pauses, and where each word ends, in seconds."""
    parts, ends, at = [], [], 0
    while at < MINUTES * 60 * 16_000:
        for clip in load_clips():
            ends += [at / 16_000 + end_s for _, end_s in clip.words]
            parts += [np.frombuffer(clip.pcm(), dtype="<i2"), np.zeros(PAUSE, np.int16)]
            at += len(parts[-2]) + PAUSE
    return np.concatenate(parts), ends


def whole_session(pcm):
    """Have the session, and return what was noted of it."""
    torch.set_num_threads(1)
    made = load_recognizer("tiny.en", cache_dir=default_cache_dir(), device="cpu", threads=1)
    made.load()
    session = Session(made)
    made._step.decode = session.noting
    session.run(pcm)
    session.made = session.stream = None
    return session


@pytest.fixture(scope="module")
def session(spoken):
    """The whole session, over; it had a process of its own, so that its memory can be measured."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as own:
        return own.submit(whole_session, spoken[0]).result()


def thirds(entries, total):
    """Return what was noted in the first and in the last third, but for the first minute, in which all is new."""
    first = [each[1:] for each in entries if 60 * 16_000 <= each[0] < total / 3]
    last = [each[1:] for each in entries if each[0] >= total * 2 / 3]
    assert min(len(first), len(last)) > 20
    return first, last


def test_the_end_takes_no_more_work_than_the_start(session, spoken):
    """Frames encoded, tokens decoded and steps taken in the last third are those of the first, within a tenth."""
    first, last = thirds(session.work, len(spoken[0]))
    spans = len(spoken[0]) / 3 - 60 * 16_000, len(spoken[0]) / 3
    assert len(last) / spans[1] == pytest.approx(len(first) / spans[0], rel=0.1)
    for which in range(2):
        assert mean(each[which] for each in last) == pytest.approx(mean(each[which] for each in first), rel=0.1)


def test_nothing_that_is_retained_grows(session, spoken):
    """Retained audio and tokens are bounded, at the end as at the start, and so is the process's memory."""
    first, last = thirds(session.retained, len(spoken[0]))
    policy = PolicySettings()
    assert max(samples for samples, _ in last) <= policy.hard_window_samples + policy.context_samples + PERIOD + MESSAGE
    for which in range(2):
        assert mean(each[which] for each in last) <= 1.1 * mean(each[which] for each in first)
        assert max(each[which] for each in last) <= 1.5 * max(each[which] for each in first)
    # In the first minutes oneDNN still meets new shapes and keeps code for them, up to a bound of its own.
    half = len(session.resident) // 2
    assert session.resident[-1] - session.resident[2] < 24 * 2**20, session.resident
    assert session.resident[-1] - session.resident[half] < 12 * 2**20, session.resident


def test_times_do_not_drift(session, spoken):
    """The last two minutes' words end where they were said as nearly as the first two minutes' do, and no later."""
    ends = spoken[1]

    def offsets(words):
        ours = [word.end / 16_000 for word in words]
        return [min((end - known for known in near(ends, end)), key=abs) for end in ours]

    def near(known, end):
        at = bisect_left(known, end)
        return known[max(0, at - 1) : at + 1]

    total = len(spoken[0])
    first = offsets([word for word in session.words if word.end < 120 * 16_000])
    last = offsets([word for word in session.words if word.end > total - 120 * 16_000])
    assert min(len(first), len(last)) > 200
    assert abs(median(last) - median(first)) < 0.02
    assert median(map(abs, last)) < 0.15


def test_all_of_it_is_said_and_accounted_for(session, spoken):
    """As many words come out as were said, within a fiftieth; they follow one another, and each sample is accounted for."""
    assert len("".join(word.text for word in session.words).split()) == pytest.approx(len(spoken[1]), rel=0.02)
    assert all(one.end <= next_one.end for one, next_one in zip(session.words, session.words[1:], strict=False))
    total = session.finished.accounting
    assert total.until == total.transcribed + total.silence + total.unclear == len(spoken[0])
