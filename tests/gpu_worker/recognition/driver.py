"""Drives a Stream with a recognizer, as a worker does, and checks its invariants after every call."""

from dataclasses import dataclass, field

from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognition.step import Step
from gpu_worker.recognition.stream import Stream
from gpu_worker.recognizer import Recognizer, TimedWord, WindowResult
from shared.messages import Finished, Hypothesis, Word
from tests.scripted_recognizer import ScriptedRecognizer

POLICY = PolicySettings(
    end_silence_samples=8_000,
    first_commit_samples=25_600,
    confident_logprob=-0.5,
    window_samples=192_000,
    flush_window_samples=256_000,
)
"""The constants that tests count with, so that what is shipped can be tuned; tests fix behaviour, not values."""


def open_stream(**changes) -> Stream:
    """Return a stream with plain values for what a test does not name."""
    plain = {"key": 1, "lease": 7, "session": "s", "language": "en", "task": "transcribe", "start": 0, "resume": None}
    return Stream(**(plain | {"policy": POLICY} | changes))


def timed(*items: tuple[str, float]) -> tuple[TimedWord, ...]:
    """Return words of one token each from (text, end in seconds)."""
    return tuple(
        TimedWord(text, text, index, index + 1, round((end - 0.3) * 16_000), round(end * 16_000))
        for index, (text, end) in enumerate(items)
    )


def window_result(words=(), tokens=None, *, end=0, logprob=-0.1, no_speech=0.0, looped=False) -> WindowResult:
    """Return a decode's result: words, and new tokens of one probability; without ``tokens`` one is new for each word."""
    tokens = tuple(range(len(words)) if tokens is None else tokens)
    logprobs = (logprob,) * len(tokens)
    return WindowResult(tokens, logprobs, tuple(words), end, no_speech, looped=looped, language="en", accepted=0)


@dataclass
class Driver:
    """A stream, its recognizer and what came out."""

    stream: Stream = field(default_factory=open_stream)
    model: Recognizer = field(default_factory=ScriptedRecognizer)
    period: int = 8000
    out: list[Hypothesis | Finished] = field(default_factory=list)

    def step(self) -> bool:
        """Do one step of a worker; return False if there was nothing to do."""
        step = Step(lambda: [self.stream], period=self.period)
        worked = False
        while call := step.next_call():
            worked = True
            (answer,) = call.run(self.model)
            step.deliver(self.stream.key, answer)
            self.stream.check()
        self.out += self.stream.take()
        return worked

    def settle(self) -> None:
        """Step until there is nothing more to do."""
        while self.step():
            pass

    def feed(self, pcm, chunk: int = 8000) -> None:
        """Bring audio in pieces, a step after each."""
        base = self.stream.received
        for first in range(0, len(pcm), chunk):
            self.stream.receive(base + first, pcm[first : first + chunk].tobytes())
            self.stream.check()
            self.step()

    def finish(self) -> None:
        """End the audio where it is and run until everything is said."""
        self.stream.finish(self.stream.received)
        self.settle()
        self.stream.check()

    @property
    def hypotheses(self) -> list[Hypothesis]:
        """Return what came out but the end."""
        return [message for message in self.out if isinstance(message, Hypothesis)]

    @property
    def words(self) -> list[Word]:
        """Return all committed words."""
        return [word for message in self.hypotheses for word in message.words]

    @property
    def text(self) -> str:
        """Return the committed text."""
        return "".join(word.text for word in self.words)
