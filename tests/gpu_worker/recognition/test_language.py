from dataclasses import replace

from gpu_worker.recognition.language import Language
from gpu_worker.recognition.stream import Stream
from tests.gpu_worker.recognition.driver import POLICY, Driver, open_stream
from tests.scripted_recognizer import ScriptedRecognizer, say

S = 16_000
RULE = replace(POLICY, language_samples=3 * S)


def language(given: str | None = None, settled: str | None = None) -> Language:
    return Language(given, settled, RULE)


def decode(known: Language, found: str, start: int, end: int, *, said: bool = True) -> str | None:
    """Ask for a window in seconds, bring what the model would detect, and return what was asked."""
    asked = known.for_window(start * S, end * S)
    known.on_decode(asked or found, start * S, end * S)
    if said:
        known.on_commit()
    return asked


def test_a_given_language_is_never_asked_for():
    """The language that the client names applies to every window, of any length."""
    known = language("de")
    assert [decode(known, "fr", 0, end) for end in (1, 3, 10)] == ["de"] * 3
    assert (known.used, known.settled) == ("de", "de")


def test_a_short_beginning_settles_nothing():
    """Its words are in the language it was taken for; the next window is detected anew, and a long one settles it."""
    known = language()
    assert decode(known, "tr", 0, 1) is None
    assert (known.used, known.settled) == ("tr", None)
    assert decode(known, "de", 2, 4) is None
    assert decode(known, "de", 2, 5) is None
    assert (known.used, known.settled) == ("de", "de")
    assert decode(known, "tr", 9, 10) == "de"


def test_without_words_nothing_is_settled():
    """Noise is in no language, however long it lasts."""
    known = language()
    for end in (1, 3, 9):
        assert decode(known, "ko", 0, end, said=False) is None
    assert (known.used, known.settled) == (None, None)


def test_a_settled_language_is_asked_once_a_window():
    """One long decode of each utterance is enough, as long as nothing contradicts."""
    known = language(settled="de")
    assert [decode(known, "de", 0, end) for end in (2, 3, 4, 9)] == ["de", None, "de", "de"]
    assert [decode(known, "de", 12, end) for end in (14, 15, 16)] == ["de", None, "de"]


def test_a_change_of_language_is_followed():
    """A long window that contradicts is asked until it does no more, and what is said in it settles the new one."""
    known = language(settled="de")
    assert [decode(known, "fr", 0, end, said=False) for end in (2, 3, 4)] == ["de", None, None]
    assert (known.used, known.settled) == ("de", "de")
    assert decode(known, "fr", 0, 5) is None
    assert (known.used, known.settled) == ("fr", "fr")


def test_one_wrong_guess_does_not_change_the_language():
    """Where nothing was said in the guess, the next one decides, and short windows never left the settled language."""
    known = language(settled="de")
    decode(known, "nl", 0, 3, said=False)
    assert decode(known, "de", 0, 4) is None
    assert decode(known, "de", 0, 5) == "de"
    decode(known, "nl", 10, 13, said=False)
    assert decode(known, "nl", 20, 21) == "de"


class Polyglot(ScriptedRecognizer):
    """Takes what is shorter than a second and a half for Turkish, all else for German."""

    asked = ()

    def transcribe(self, requests):
        self.asked = (*self.asked, *(request.language for request in requests))
        results = super().transcribe(requests)
        return [
            replace(each, language=asked.language or ("tr" if len(asked.pcm) - asked.context < 1.5 * S else "de"))
            for asked, each in zip(requests, results, strict=True)
        ]


def run(stream: Stream, script, model=None) -> Driver:
    driver = Driver(stream=stream, model=model or Polyglot())
    driver.feed(say(script).pcm)
    driver.finish()
    return driver


HELLO = [0.3, "one", 1.5]
SPEECH = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", 1.5]


def test_a_greeting_does_not_decide_for_the_session():
    """A first utterance of one word is taken for another language; the next is said in the right one."""
    driver = run(open_stream(language=None, policy=RULE), [*HELLO, *SPEECH])
    languages = {word.text: message.language for message in driver.hypotheses for word in message.words}
    assert languages[" one"] == "tr"
    assert languages[" ten"] == "de"
    assert (driver.model.asked[0], driver.model.asked[-1]) == (None, "de")
    assert driver.hypotheses[-1].resume.language == "de"


def test_another_worker_goes_on_with_what_is_settled_only():
    """A resume state names no language as long as nothing long enough was said."""
    driver = run(open_stream(language=None, policy=RULE), HELLO)
    last = driver.hypotheses[-1]
    assert (last.language, last.resume.language) == ("tr", None)
    moved = run(open_stream(start=last.keep_from, resume=last.resume, language=None, policy=RULE), SPEECH)
    assert moved.hypotheses[-1].language == "de"
