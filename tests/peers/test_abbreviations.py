"""Fault 20: "Mr.", "Dr.", "St." and "U.S." ended segments."""

from dataclasses import replace

import pytest

from tests.gpu_worker.recognition.driver import Driver
from tests.scripted_recognizer import ScriptedRecognizer, say


class Titles(ScriptedRecognizer):
    """Writes a title for each "three"."""

    def __init__(self, title):
        super().__init__()
        self._title = title

    def transcribe(self, requests):
        """Hear what is said, and write it otherwise."""
        return [
            replace(result, words=tuple(map(self._written, result.words))) for result in super().transcribe(requests)
        ]

    def _written(self, word):
        return replace(word, text=f" {self._title}", fresh=f" {self._title}") if word.text == " three" else word


@pytest.mark.parametrize(("title", "ends"), [("Mr.", 0), ("Dr.", 0), ("St.", 0), ("U.S.", 0), ("J.", 0), ("home.", 1)])
def test_fault_20_a_title_ends_no_segment(title, ends):
    """Relatives: other titles, initials, acronyms. Without a pause only the end of a real sentence closes a segment."""
    driver = Driver(model=Titles(title))
    driver.feed(say(["one", "two", "three"] * 16).pcm)
    closing = [message.words[-1].text.strip() for message in driver.hypotheses if message.closes and message.words]
    assert closing.count(title) == ends
    assert driver.text.split().count(title) > 10
