"""The page in a real Chromium against the real server: a spoken clip as its microphone, the right words on the page."""

import wave

import pytest

from shared.clips import load_clips
from tests.system import chromium
from tests.system.reading import word_errors

pytestmark = [*chromium.NEEDED, pytest.mark.timeout(400)]

CLIPS = load_clips()[:2]
TEXT = " ".join(clip.text for clip in CLIPS)
LEAD_S = 1.0


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    """Return two clips as one WAV: a second before them, in which the microphone's gain control settles, silence after."""
    path = tmp_path_factory.mktemp("microphone") / "voice.wav"
    quiet = bytes(int(LEAD_S * 16_000) * 2)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(quiet + b"".join(clip.pcm() for clip in CLIPS) + quiet)
    return path


def test_the_right_words(real_server, voice):
    """Red button, speech, words as they are said, stop: the page has every word, right, and its console is empty."""
    seconds = sum(clip.duration_s for clip in CLIPS) + LEAD_S
    with chromium.Chromium(voice) as browser:
        browser.look()
        browser.navigate(real_server.http_url + "/")
        browser.click("#record")
        browser.wait_for("document.querySelector('.committed')?.textContent.includes('block books')", timeout_s=90)
        browser.wait_for("document.querySelector('.tail:not(:empty)')")
        browser.wait_for("document.querySelector('#transcript').innerText.includes('types')", timeout_s=seconds + 60)
        browser.click("#record")
        browser.wait_for("document.querySelector('#status').textContent.startsWith('Finished')", timeout_s=90)
        words = browser.evaluate("[...document.querySelectorAll('.words')].map(p => p.innerText).join(' ')")
        assert browser.evaluate("document.querySelectorAll('.tail:not(:empty)').length") == 0
        assert [line for line in browser.console if "favicon" not in line] == []
    assert word_errors(TEXT, words) < 0.15, words
    closed = real_server.log.wait("session_closed", outcome="complete")
    assert closed["dropped"] == 0
