"""The page in a real Chromium, loaded anew during a recording, against a scripted server and against the real gateway."""

import json
import time

import pytest

from tests.gateway.web import tone
from tests.gateway.web.scripted_server import SAMPLE_RATE, WORDS, Script
from tests.system import chromium
from tests.system.scripted_worker import COMMON_WORDS, WORD_SAMPLES
from tests.system.test_page_network import HEARD

pytestmark = chromium.NEEDED

WORD_S = 1 / 16
SENTENCE_SAMPLES = int(len(WORDS) * WORD_S * SAMPLE_RATE)
PHASE = "document.body.dataset.phase"
TITLE = "document.querySelector('#notice:not([hidden]) #notice-title')?.textContent"
FINISHED = f"{PHASE} === 'idle' && document.querySelector('#status').textContent.startsWith('Finished')"
HIDE = """
    Object.defineProperty(document, "visibilityState", {value: "hidden", configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
    delete document.visibilityState;
"""
KEPT = "JSON.parse(sessionStorage.getItem('session'))"


@pytest.fixture
def server(running_server, browser):
    """Return the server with the plain script; afterwards, the page must have raised nothing and kept no session."""
    running_server.script = Script(word_s=WORD_S)
    running_server.sessions.clear()
    yield running_server
    browser.permit("microphone", "granted")
    assert [line for line in browser.console if "favicon.ico" not in line] == []
    assert browser.evaluate(KEPT) is None
    browser.evaluate("sessionStorage.clear()")


def record(browser, url, words=20):
    """Record until this many words are shown, and return them."""
    browser.navigate(url)
    browser.click("#record")
    browser.wait_for(f"{HEARD}.length >= {words}")
    return browser.evaluate(HEARD)


def reload(browser):
    """Load the page anew, and wait until its script has run."""
    browser.evaluate("document.body.dataset.phase = 'old'; location.reload()")
    browser.wait_for(f"document.readyState === 'complete' && {PHASE} !== 'old'")


def visit_later(browser, change="", keep=None, microphone="granted"):
    """Leave the page, change what it has kept and may do, and come back to it by the browser's history."""
    home = browser.evaluate("location.href")
    browser.evaluate("location.href = 'favicon.svg'")
    browser.wait_for("location.href.endsWith('.svg') && document.readyState === 'complete'")
    if keep is not None:
        browser.evaluate(f"Object.assign(sessionStorage, {json.dumps(keep)})")
    browser.evaluate(f"(kept => {{ {change}; sessionStorage.setItem('session', JSON.stringify(kept)) }})({KEPT})")
    browser.permit("microphone", microphone)
    browser.evaluate("history.back()")
    browser.wait_for(f"location.href === {json.dumps(home)} && document.readyState === 'complete'")


def said(samples):
    """Return the words that the server sends for this many samples."""
    return [WORDS[i % len(WORDS)] for i in range(int(samples / SAMPLE_RATE / WORD_S))]


def stop(browser):
    browser.wait_for(f"{PHASE} === 'recording'")
    browser.click("#record")
    browser.wait_for(FINISHED)


def test_recording_goes_on(browser, server):
    """A reload in mid-sentence, and another one: it is one session, recording goes on by itself, every word is there once."""
    record(browser, server.url)
    for count in (1, 2):
        reload(browser)
        browser.wait_for(f"{TITLE} === 'The page was loaded anew. Recording goes on.'")
        assert browser.text("#notice-detail") == "What was said in the 1 s between was not recorded."
        browser.wait_for(f"{HEARD}.length >= {20 + 20 * count}")
    stop(browser)
    (seen,) = server.sessions
    assert len(seen.resumed_after) == 2
    assert browser.evaluate(HEARD) == said(seen.samples)
    minutes, seconds = browser.text("#timer").split(":")
    assert int(minutes) * 60 + int(seconds) == int(seen.samples / SAMPLE_RATE)
    reload(browser)
    assert browser.evaluate(PHASE) is None
    assert browser.evaluate(HEARD) == said(seen.samples)


def test_audio_that_was_not_sent_is_kept(browser, server):
    """What the socket had not taken when the page was loaded anew is sent by the new page."""
    browser.navigate(server.url)
    browser.click("#record")
    browser.wait_for(f"{HEARD}.length >= 10")
    browser.evaluate("Object.defineProperty(WebSocket.prototype, 'bufferedAmount', {value: 1e9}) && 1")
    browser.wait_for("document.querySelector('#backlog').textContent.includes('4 s')")
    had = server.sessions[0].samples
    reload(browser)
    browser.wait_for(f"{HEARD}.length >= 50")
    stop(browser)
    (seen,) = server.sessions
    assert browser.evaluate(HEARD) == said(seen.samples)
    before = tone.phases(seen.audio[: 2 * (had + 3 * SAMPLE_RATE)])
    assert max(before) - min(before) < 0.1


def test_a_click_is_asked_for(browser, server):
    """Where the browser wants a click for the microphone the words are fetched, and one button goes on."""
    record(browser, server.url)
    visit_later(browser, microphone="prompt")
    browser.wait_for(f"{TITLE} === 'The page was loaded anew during your recording.'")
    assert browser.text("#notice-action") == "Continue recording"
    assert browser.evaluate("document.querySelector('#record').title") == "Continue recording"
    browser.wait_for(f"{HEARD}.length >= 20")
    browser.permit("microphone", "granted")
    browser.click("#notice-action")
    browser.wait_for(f"{HEARD}.length >= 40")
    assert browser.evaluate(TITLE) == "The page was loaded anew. Recording goes on."
    stop(browser)
    (seen,) = server.sessions
    assert browser.evaluate(HEARD) == said(seen.samples)


def test_audio_that_stays_suspended_asks_for_a_click(browser, server):
    """A browser that gives the microphone but lets no audio run before a click is asked in the same way."""
    record(browser, server.url)
    timid = browser.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="""
            addEventListener("pointerdown", () => { window.wasClicked = true; }, true);
            AudioContext = class extends AudioContext {
                constructor() { super(); super.suspend(); }
                resume() { return window.wasClicked ? super.resume() : new Promise(() => {}); }
            };
        """,
    )
    visit_later(browser)
    browser.call("Page.removeScriptToEvaluateOnNewDocument", **timid)
    browser.wait_for(f"{TITLE} === 'The page was loaded anew during your recording.'")
    count = len(browser.evaluate(HEARD))
    browser.click("#record")
    browser.wait_for(f"{HEARD}.length > {count} + 10")
    stop(browser)
    (seen,) = server.sessions
    assert browser.evaluate(HEARD) == said(seen.samples)


def test_without_a_click_it_ends(browser, server):
    """Without the click the last words come, and the page ends the session."""
    record(browser, server.url)
    hold = browser.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="const late = setTimeout; setTimeout = (act, ms) => ms === 20_000 ? (window.held = act, 0) : late(act, ms);",
    )
    visit_later(browser, microphone="prompt")
    browser.wait_for(f"{PHASE} === 'paused'")
    browser.call("Page.removeScriptToEvaluateOnNewDocument", **hold)
    browser.evaluate("held() && 1")
    browser.wait_for(FINISHED)
    assert browser.evaluate(TITLE) == "The recording ended when the page was left."
    assert browser.text("#notice-detail") == "Everything that was said until then is here."
    (seen,) = server.sessions
    assert (seen.ended, seen.close_code) == (True, 1000)
    assert browser.evaluate(HEARD) == said(seen.samples)


def test_reload_while_finishing(browser, server):
    """A reload between the stop and the last words still brings them, and opens no microphone."""
    server.script = Script(word_s=WORD_S, ready_delay_s=1.0)
    browser.navigate(server.url)
    browser.click("#record")
    browser.wait_for("document.querySelector('#timer').textContent === '0:01'")
    browser.click("#record")
    browser.wait_for(f"{PHASE} === 'finishing'")
    server.script = Script(word_s=WORD_S)
    reload(browser)
    browser.wait_for(FINISHED)
    assert len(browser.evaluate(HEARD)) >= 10
    assert browser.evaluate(HEARD) == said(server.sessions[-1].samples)


def test_a_server_that_forgot_gets_what_is_not_final(browser, server):
    """A server that was restarted begins another session: final text stays, the rest is said again, and the page says so."""
    record(browser, server.url)
    server.script = Script(word_s=WORD_S, forgets=True)
    reload(browser)
    browser.wait_for(f"{TITLE} === 'The page was loaded anew. Recording goes on.'")
    assert "The server had ended that session" in browser.text("#notice-detail")
    browser.wait_for(f"{HEARD}.length >= 40")
    stop(browser)
    first, second = server.sessions
    assert second.query["resume"] == first.token
    final = first.samples // SENTENCE_SAMPLES * SENTENCE_SAMPLES
    assert browser.evaluate(HEARD) == said(final + second.samples)


@pytest.mark.parametrize("forgets", [False, True])
def test_a_long_absence_ends_the_recording(browser, server, forgets):
    """After minutes away every recorded word comes, nothing more is recorded, and the page says so."""
    record(browser, server.url)
    server.script = Script(word_s=WORD_S, forgets=forgets)
    visit_later(browser, "kept.keptAt -= 300_000")
    browser.wait_for(FINISHED)
    assert browser.evaluate(TITLE) == "The recording ended when the page was left."
    first, last = server.sessions[0], server.sessions[-1]
    assert last.ended
    final = first.samples // SENTENCE_SAMPLES * SENTENCE_SAMPLES if forgets else 0
    assert browser.evaluate(HEARD) == said(final + last.samples)
    assert len(browser.evaluate(HEARD)) >= 20


def test_audio_that_could_not_be_kept_is_reported(browser, server):
    """The page says how much audio neither it nor the server has, and the text shown of it stays."""
    heard = record(browser, server.url, 25)
    server.script = Script(word_s=WORD_S, forgets=True)
    visit_later(browser, "kept.audio = ''; kept.start = kept.recorded")
    browser.wait_for(f"{HEARD}.length >= {len(heard) + 10}")
    assert "of audio could not be kept: words may be missing there." in browser.text("#notice-detail")
    assert browser.evaluate(HEARD)[: len(heard)] == heard
    stop(browser)


def test_a_duplicated_tab_leaves_the_session_alone(browser, server):
    """A tab with a copy of the storage shows the text and says where the recording is; the first one goes on."""
    record(browser, server.url)
    browser.evaluate(HIDE)
    copy = browser.evaluate("({...sessionStorage})")
    assert "session" in copy
    browser.evaluate("window.open(location.href) && 1")
    with browser.other_tab():
        browser.wait_for(f"document.readyState === 'complete' && {PHASE} !== 'recording'")
        visit_later(browser, keep=copy)
        browser.wait_for(f"{TITLE} === 'The recording goes on in another tab.'")
        assert len(browser.evaluate(HEARD)) >= 18
        assert browser.evaluate(f"[{PHASE}, {KEPT}]") == ["idle", None]
    count = len(browser.evaluate(HEARD))
    browser.wait_for(f"{HEARD}.length >= {count + 10}")
    stop(browser)
    (seen,) = server.sessions
    assert (seen.resumed_after, browser.evaluate(HEARD)) == ([], said(seen.samples))


def test_without_locks_the_newest_tab_wins(browser, server):
    """Where the browser has no locks the server's rule holds, and a tab that lost its session keeps its words and does not take it back."""
    server.script = Script(word_s=WORD_S, close_after_words=(30, 4409))
    record(browser, server.url)
    browser.wait_for(f"{TITLE} === 'This session continues elsewhere.'")
    assert browser.evaluate(f"[{PHASE}, {KEPT}]") == ["idle", None]
    assert len(browser.evaluate(HEARD)) >= 20
    reload(browser)
    time.sleep(0.5)
    assert (browser.evaluate(PHASE), len(server.sessions)) == (None, 1)


def test_the_page_opened_anew_begins_anew(browser, server):
    """A page opened by its address is empty, records nothing, and keeps nothing of the old session."""
    record(browser, server.url)
    browser.navigate(server.url)
    assert browser.evaluate(f"[{PHASE}, {HEARD}.length, {KEPT}]") == [None, 1, None]


def test_the_gateway_keeps_the_session(browser, start_server):
    """With the real gateway a reload in speech, for longer than a slot is held, loses and doubles no word."""
    gateway = start_server(
        workers=1, recognizer={"by_position": True}, STEP_MIN_S="0.2", RESUME_GRACE_S="20", DRAIN_S="5"
    )
    browser.navigate(f"http://localhost:{gateway.port}/")
    browser.click("#record")
    browser.wait_for(f"{HEARD}.length > 5")
    reload(browser)
    browser.wait_for(f"{HEARD}.length > 12")
    visit_later(browser, "kept.seen = true")
    browser.wait_for(f"{HEARD}.length > 20", timeout_s=45)
    stop(browser)
    closed = gateway.log.wait("session_closed")
    assert len(gateway.log.find("session_closed")) == 1
    assert (closed["dropped"], closed["outcome"]) == (0, "complete")
    words = browser.evaluate(HEARD)
    first = COMMON_WORDS.index(words[0])
    assert words == [COMMON_WORDS[i % len(COMMON_WORDS)] for i in range(first, first + len(words))]
    assert first + len(words) == pytest.approx(closed["received"] / WORD_SAMPLES, abs=1.1)
