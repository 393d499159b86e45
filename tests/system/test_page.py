"""The page in a real Chromium, with a WAV as its microphone, against a scripted server."""

import time

import pytest

from tests.gateway.web import tone
from tests.gateway.web.scripted_server import SAMPLE_RATE, STATUSES, WORDS, Script, ScriptedServer
from tests.system import chromium

pytestmark = chromium.NEEDED

IDLE = "document.querySelector('#record').getAttribute('aria-pressed') === 'false'"
COLLECT_STATUSES = """
    window.statuses = [];
    new MutationObserver(() => statuses.push(document.querySelector("#status").textContent))
        .observe(document.querySelector("#status"), {childList: true});
"""


@pytest.fixture
def server(running_server, browser):
    """Return the server with the plain script; afterwards, the page must have raised nothing and broken no policy."""
    running_server.script = Script()
    running_server.sessions.clear()
    yield running_server
    assert browser.console == []
    browser.evaluate("sessionStorage.clear()")


def stop(browser):
    browser.click("#record")
    browser.wait_for(IDLE)


def test_words_appear_and_stop_flushes(browser, server):
    """A recording shows its statuses in order and its words as they come, and the server gets every sample of it."""
    server.script = Script(ready_delay_s=0.2)
    browser.navigate(server.url)
    browser.evaluate(COLLECT_STATUSES)
    browser.click("#record")
    started = time.monotonic()
    browser.wait_for("document.querySelector('.committed')?.textContent.includes('quick brown')")
    committed = browser.evaluate("document.querySelector('.line:last-child .committed').textContent.trim().split(' ')")
    tail = browser.evaluate("document.querySelector('.line:last-child .tail').textContent.trim().split(' ')")
    assert committed + tail == list(WORDS[: len(committed) + len(tail)])
    browser.wait_for("document.querySelector('#transcript').children[0].children.length > 2", timeout_s=30)
    lasted_s = time.monotonic() - started
    stop(browser)

    sentences = [message for _, message in STATUSES]
    assert browser.evaluate("statuses")[:6] == ["Asking for the microphone…", "Connecting…", *sentences]
    assert browser.evaluate("statuses")[6] == "Finishing…"
    assert browser.text("#status").startswith("Finished")
    (seen,) = server.sessions
    assert (seen.path, seen.query, seen.subprotocols) == ("/asr", {"mode": "events"}, [])
    assert seen.ended
    assert seen.samples / SAMPLE_RATE == pytest.approx(lasted_s, abs=chromium.LATE_S)
    assert set(seen.message_bytes[:-1]) == {3_200}
    assert seen.message_bytes[-1] <= 3_200
    assert browser.evaluate("document.querySelectorAll('.tail:not(:empty)').length") == 0
    heard = browser.evaluate("[...document.querySelectorAll('.words')].map(p => p.textContent).join(' ').split(' ')")
    count = int(seen.samples / SAMPLE_RATE / server.script.word_s)
    assert heard == [WORDS[i % len(WORDS)] for i in range(count)]

    tone.check(seen.audio)


def test_second_recording_keeps_the_first(browser, server):
    """A second start works, at a path prefix too; both transcripts stay, are copied whole, and can be cleared and brought back."""
    browser.navigate(f"{server.url}captions/")
    for recording in (1, 2):
        browser.click("#record")
        browser.wait_for(f"document.querySelectorAll('.run').length === {recording}")
        browser.wait_for("document.querySelector('.run:last-child .committed')?.textContent.includes('the')")
        stop(browser)
    assert [seen.path for seen in server.sessions] == ["/captions/asr"] * 2
    paragraphs = browser.evaluate("[...document.querySelectorAll('.words')].map(p => p.innerText)")
    assert len(paragraphs) == 2
    assert browser.evaluate("getComputedStyle(document.querySelector('.run:last-child .mark')).display") == "flex"
    browser.permit("clipboard-read", "granted")
    browser.click("#copy")
    browser.wait_for("document.querySelector('#copy').textContent === 'Copied'")
    assert browser.evaluate("navigator.clipboard.readText()") == "\n\n".join(paragraphs)
    browser.click("#clear")
    assert browser.text("#transcript").strip() == ""
    browser.click("#notice-action")
    assert all(paragraph in browser.text("#transcript") for paragraph in paragraphs)


def test_token_is_asked_for(browser, server):
    """A server that closes with 4401 makes the page ask for a token, which travels in no address, and then let in."""
    server.script = Script(token="s3cret/+ü")
    browser.navigate(server.url)
    browser.click("#record")
    for attempt in ("wrong", server.script.token):
        browser.wait_for("document.querySelector('#token-dialog').open && document.activeElement.id === 'token'")
        browser.type(attempt)
        browser.press("Enter", 13, "\r")
    browser.wait_for("document.querySelector('.committed')")
    stop(browser)
    assert [len(seen.subprotocols) for seen in server.sessions] == [0, 2, 2]
    assert all(seen.query == {"mode": "events"} for seen in server.sessions)
    assert browser.evaluate("location.href") == server.url

    said = browser.text("#transcript")
    browser.evaluate("window.former = true; location.reload()")
    browser.wait_for("!window.former && document.readyState === 'complete' && document.querySelector('.committed')")
    assert browser.text("#transcript") == said  # kept over the reload, like the token
    assert browser.evaluate("document.querySelector('#notice').hidden")
    browser.click("#record")
    browser.wait_for(
        "document.querySelector('.run:last-child .committed')?.innerText && document.querySelectorAll('.run').length === 2"
    )
    stop(browser)


def test_refusal_says_when_to_try_again(browser, server):
    """When all slots are taken the page says so, says when to try again, and the next try works."""
    error = {"error": "No GPU resources available", "code": "no_capacity", "retry_after_s": 1.0}
    server.script = Script(refuse=(error, 1013))
    browser.navigate(server.url)
    browser.click("#record")
    browser.wait_for(f"{IDLE} && !document.querySelector('#notice').hidden")
    assert browser.text("#notice-title") == "All transcription slots are busy."
    assert browser.text("#notice-detail") == "Please try again in 1 s."
    server.script = Script()
    browser.wait_for("!document.querySelector('#notice-action').disabled")
    browser.click("#notice-action")
    browser.wait_for("document.querySelector('.committed')")
    assert browser.evaluate("document.querySelector('#notice').hidden")
    stop(browser)


def test_wrong_language_is_named(browser, server):
    """A language that the model does not have is refused by the server and named by the page."""
    error = {"error": "language 'fr' is not supported by tiny.en", "code": "bad_parameter"}
    server.script = Script(refuse=(error, 4400))
    browser.navigate(server.url)
    browser.evaluate("document.querySelector('#language').value = 'fr'")
    browser.click("#record")
    browser.wait_for("!document.querySelector('#notice').hidden")
    assert server.sessions[0].query == {"mode": "events", "language": "fr"}
    browser.wait_for("document.querySelector('#notice-title').textContent === 'This server cannot transcribe French.'")


def test_model_decides_the_choices(browser, server):
    """A model of many languages offers them and translation; an English one offers neither."""
    server.script = Script(multilingual=True)
    browser.navigate(server.url)
    options = "[...document.querySelector('#language').options].map(o => o.text)"
    browser.click("#record")
    browser.wait_for(f"{options}.length === 5")
    assert browser.evaluate(options) == ["Detect", "English", "French", "German", "Japanese"]
    stop(browser)
    browser.evaluate("document.querySelector('#task').value = 'translate'")
    server.script = Script()
    browser.click("#record")
    browser.wait_for(f"{options}.length === 1")
    stop(browser)
    assert server.sessions[1].query == {"mode": "events", "task": "translate"}
    assert browser.evaluate(options) == ["English"]
    assert browser.evaluate("document.querySelector('#task-choice').hidden")


def test_reader_who_scrolled_up_stays(browser, server):
    """A reader who has scrolled up stays there while words come; a button leads back to the end."""
    server.script = Script(word_s=0.02)
    browser.navigate(server.url)
    at_end = "(s => s.scrollHeight - s.scrollTop - s.clientHeight < 2)(document.querySelector('#scroller'))"
    browser.click("#record")
    browser.wait_for("document.querySelector('#scroller').scrollTop > 100")
    assert browser.evaluate(at_end)
    browser.evaluate("document.querySelector('#scroller').scrollTop = 0")
    lines = browser.evaluate("document.querySelectorAll('.line').length")
    browser.wait_for(f"document.querySelectorAll('.line').length > {lines} + 1")
    assert browser.evaluate("document.querySelector('#scroller').scrollTop") == 0
    browser.click("#latest")
    browser.wait_for(at_end)
    stop(browser)


def test_insecure_address_is_explained(browser, server):
    """Where the browser gives no microphone to the address, the page says why and opens no session."""
    browser.navigate(f"http://plain.test:{server.port}/")
    browser.click("#record")
    browser.wait_for("document.querySelector('#notice-title').textContent === 'The microphone needs a secure page.'")
    assert server.sessions == []


def test_blocked_microphone_is_explained(server):
    """When the microphone is denied the page says how to allow it, and opens no session."""
    with chromium.Chromium(allow=False) as browser:
        browser.navigate(server.url)
        browser.click("#record")
        browser.wait_for("document.querySelector('#notice-title').textContent === 'The microphone is blocked.'")
        assert browser.evaluate(IDLE)
    assert server.sessions == []


def test_silence_is_not_told_after_the_stop(server, tmp_path):
    """A muted microphone is told while it records; once it has stopped the notice is gone."""
    with chromium.Chromium(tone.write(tmp_path / "silence.wav", amplitude=0)) as browser:
        browser.navigate(server.url)
        browser.click("#record")
        shown = "!document.querySelector('#notice').hidden"
        browser.wait_for(shown)
        assert browser.text("#notice-title") == "No sound is coming from the microphone."
        stop(browser)
        browser.wait_for("document.querySelector('#status').textContent.startsWith('Finished')")
        assert not browser.evaluate(shown)


def test_recorder_that_does_not_load_is_explained():
    """When the server is gone at the first click, the page does not blame the microphone."""
    with chromium.Chromium() as browser:
        with ScriptedServer() as gone:
            browser.navigate(gone.url)
        browser.click("#record")
        title = "The recorder could not be loaded from the server."
        browser.wait_for(f"document.querySelector('#notice-title').textContent === '{title}'")
        assert browser.text("#notice-action") == "Try again"
        assert browser.evaluate(IDLE)
