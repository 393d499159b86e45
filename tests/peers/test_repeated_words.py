"""Fault 17: a word said six times silenced the rest of the utterance."""

import re

import numpy as np
import pytest

from scripts.tools.synthesis import pause, speak
from tests.gpu_worker.recognition.driver import Driver

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def driver(model):
    """Give a stream on the real model."""
    model.open(1)
    yield Driver(model=model)
    model.close(1)


@pytest.mark.parametrize(
    ("said", "repeated", "then"),
    [
        ("No, no, no, no, no, no, I do not want that today.", "no", "i do not want"),
        ("The code is nine nine nine nine nine nine. Thank you.", None, "thank you"),
        ("Very very very very very very very good, and now we go home.", "very", "go home"),
        ("I know, I know, I know, I know, I know. But we have to leave at noon.", "know", "leave at noon"),
        ("Bye bye bye bye bye bye bye.", "bye", ""),
        ("Ha ha ha ha ha ha ha ha", None, ""),
    ],
)
@pytest.mark.parametrize("chunk", [8000, 16_000])
def test_fault_17_what_follows_a_repetition_is_said(driver, *, said, repeated, then, chunk):
    """Six repeated words are at least four in the text, and what comes after them is there.

    Relatives: a phrase that is repeated, laughter, a repetition and nothing else. The text was "No, no", "The code is i",
    "". What espeak-ng says is not always understood: only then is the repeated word left open.
    """
    driver.feed(np.concatenate([pause(0.5), speak(said), pause(1.2)]), chunk=chunk)
    driver.finish()
    words = re.sub(r"[^a-z ]", "", driver.text.lower()).split()
    assert then in " ".join(words)
    most = words.count(repeated) if repeated else max(words.count(word) for word in words)
    assert most >= 4
