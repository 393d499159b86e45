"""A protocol as a session's presenter, with its transcript and its send queue."""

import json

from hypothesis import strategies as st

from gateway.sessions.commands import SessionAccounting
from gateway.sessions.presenter import Greeting, Status
from gateway.sessions.send_queue import SendQueue
from gateway.sessions.transcript import Transcript
from tests.gateway.builders import S, hypothesis, word

GREETING = Greeting(
    session_id="x",
    resume_token="secret",
    resumed=False,
    received=0,
    model="tiny.en",
    device="cpu",
    languages=("en",),
    translates=False,
)
CONFIG = {"type": "config", "useAudioWorklet": True, "sample_rate": 16_000, "encoding": "pcm_s16le"}
CONFIG |= {"model": "tiny.en", "device": "cpu", "multilingual": False, "languages": ["en"], "translation": False}
CONFIG |= {"session": "x", "resume_token": "secret", "resumed": False, "received": 0}


ACCOUNTING = SessionAccounting(3, 1, 2, 0, None)


class ProtocolHarness:
    """A protocol as a session's presenter; time passes fast enough for any rate limit."""

    def __init__(self, protocol) -> None:
        self.send_queue = SendQueue(protocol.encode)
        self.transcript = Transcript()
        self.presenter = protocol(self.transcript, self.send_queue)
        self.now = 0.0

    def step(self, *words, received=0, **values) -> None:
        self.transcript.apply(hypothesis(*words, **values))
        self.presenter.text_changed(received, 0.0)

    def read(self, most=10_000) -> list[dict]:
        sent = []
        while len(sent) < most and (text := self.send_queue.pop(self.now)) is not None:
            sent.append(json.loads(text))
            self.now += 1000.0
        return sent


WORDS = st.lists(st.sampled_from([" one", " two", ".", " three", "字"]), max_size=3)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("step"), WORDS, st.sampled_from(["", " tail", " longer tail"]), st.booleans(), st.integers(0, 12)
        ),
        st.tuples(st.just("read"), st.integers(1, 3)),
        st.tuples(st.just("status")),
        st.tuples(st.just("resume")),
    ),
    max_size=30,
)


def play(harness, steps, on_read) -> None:
    """Do the steps; ``on_read`` gets what the client reads, and None where it resumes on a new socket."""
    at_s = 0.0
    for what, *values in steps:
        if what == "step":
            texts, tail, closes, pause_s = values
            words = []
            for text in texts:
                at_s += pause_s
                words.append(word(text, at_s, at_s + 0.3))
                at_s += 0.3
            harness.step(
                *words, tail=tail, tail_end=round((at_s + 1) * S), closes=closes, received=round((at_s + 1) * S)
            )
        elif what == "read":
            on_read(harness.read(values[0]))
        elif what == "status":
            harness.presenter.status(Status.MOVING, 1)
        else:
            harness.send_queue.clear()
            harness.presenter.replay(on_read(None))
