"""One step: two calls in their order, and each answer to the stream that has asked."""

import pytest

from gpu_worker.recognition.step import DecodeCall, Step, VadCall, run_step
from tests.gpu_worker.recognition.driver import open_stream
from tests.scripted_recognizer import POISON, ScriptedRecognizer, say

PERIOD = 8_000
PCM = say(["river", "stone", "cloud", "green", "window"]).pcm


def speaking(key, pcm=PCM):
    """Return a stream to which something has been said."""
    stream = open_stream(key=key)
    stream.receive(0, pcm.tobytes())
    return stream


def answered(step, call, model):
    """Deliver a model's answers to a call."""
    for key, answer in zip(call.keys, call.run(model), strict=True):
        step.deliver(key, answer)


def test_speech_is_found_before_windows_are_decoded():
    """The windows of a step are those that are due once its own audio is judged; then the step is over."""
    streams, model = [speaking(1), speaking(2)], ScriptedRecognizer()
    step = Step(lambda: streams, period=PERIOD)
    vad = step.next_call()
    assert isinstance(vad, VadCall)
    answered(step, vad, model)
    decode = step.next_call()
    assert isinstance(decode, DecodeCall)
    assert [request.key for request in decode.requests] == [1, 2]
    answered(step, decode, model)
    assert step.next_call() is None


def test_no_more_windows_than_the_bound():
    """The first streams have their turn; the others still wait for theirs, and get it in the next step."""
    streams, model, turns = [speaking(key) for key in (1, 2, 3)], ScriptedRecognizer(), []
    for _ in range(2):
        step = Step(lambda: streams, period=PERIOD, most=2)
        while call := step.next_call():
            if isinstance(call, DecodeCall):
                turns.append([request.key for request in call.requests])
            answered(step, call, model)
    assert turns == [[1, 2], [3]]


def test_nothing_is_due():
    """A stream without audio asks nothing: there is no step to do."""
    assert not run_step([open_stream()], ScriptedRecognizer(), period=PERIOD)


def test_an_answer_that_is_an_error_is_raised():
    """An error that the recognizer answers in place of a result ends `run_step`."""
    streams = [speaking(1, say([POISON, "river", "stone"]).pcm)]
    with pytest.raises(RuntimeError, match="poison"):
        run_step(streams, ScriptedRecognizer(), period=PERIOD)


def test_a_stream_that_comes_meanwhile_is_not_asked_twice():
    """Streams that begin while the model judges the others' audio have no window yet, and disturb nothing."""
    streams, model = [speaking(1)], ScriptedRecognizer()
    step = Step(lambda: streams, period=PERIOD)
    vad = step.next_call()
    streams.append(speaking(2))
    answered(step, vad, model)
    assert [request.key for request in step.next_call().requests] == [1]
