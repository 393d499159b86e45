"""The page in a real Chromium while its network breaks, against a scripted server and against the real gateway."""

import time

import pytest

from tests.gateway.web import tone
from tests.gateway.web.relay import Relay
from tests.gateway.web.scripted_server import SAMPLE_RATE, WORDS, WORDS_PER_SEGMENT, Script
from tests.system import chromium
from tests.system.scripted_worker import COMMON_WORDS, WORD_SAMPLES

pytestmark = chromium.NEEDED

IDLE = "document.querySelector('#record').getAttribute('aria-pressed') === 'false'"
STATUS = "document.querySelector('#status').textContent"
LOST = f"{STATUS}.startsWith('Connection lost. Reconnecting… your words are kept.')"
FINISHED = f"{IDLE} && {STATUS}.startsWith('Finished')"
HEARD = (
    "[...document.querySelectorAll('.line:not([hidden]) .words')].map(p => p.textContent).join(' ').trim().split(' ')"
)


@pytest.fixture
def server(running_server, browser):
    """Return the server with the plain script; afterwards, the page must have raised nothing."""
    running_server.script = Script(word_s=0.1)
    running_server.sessions.clear()
    yield running_server
    # The browser itself writes down each socket that fails.
    assert [line for line in browser.console if "WebSocket" not in line and "net::ERR" not in line] == []


@pytest.fixture
def relay(server):
    """Return the way to the server, which can break."""
    with Relay(server.port) as running:
        yield running


def wait_words(browser, count):
    """Wait until this many words are on the page."""
    browser.wait_for(f"{HEARD}.length >= {count}")


def whole(samples):
    """Return the words that the server sends for this many samples."""
    return [WORDS[i % WORDS_PER_SEGMENT] for i in range(int(samples / SAMPLE_RATE / 0.1))]


def test_broken_twice_nothing_is_lost(browser, server, relay):
    """The connection breaks in mid-sentence and again before the stop: text and audio have no seam, and nothing is wiped."""
    browser.navigate(relay.url)
    browser.click("#record")
    started = time.monotonic()
    wait_words(browser, 20)
    relay.cut()
    browser.wait_for(LOST)
    before = browser.evaluate("document.querySelector('.committed').textContent")
    recorded = browser.evaluate("document.querySelector('#timer').textContent")
    browser.wait_for(f"document.querySelector('#timer').textContent > '{recorded}'")
    relay.mend()
    browser.wait_for(f"{STATUS} === 'Reconnected'")
    browser.wait_for(f"{STATUS} === 'Ready to transcribe'")
    assert browser.evaluate("document.querySelector('.committed').textContent") == before
    wait_words(browser, 50)

    relay.cut()
    browser.wait_for(LOST)
    browser.click("#record")
    lasted_s = time.monotonic() - started
    browser.wait_for(f"document.querySelector('#record').disabled && {LOST}")
    relay.mend()
    browser.wait_for(FINISHED)

    (seen,) = server.sessions
    assert len(seen.resumed_after) == 2
    assert seen.resumed_after[0] > 0
    assert seen.samples / SAMPLE_RATE == pytest.approx(lasted_s, abs=chromium.LATE_S)
    tone.check(seen.audio)
    assert browser.evaluate(HEARD) == whole(seen.samples)
    assert browser.evaluate("document.querySelectorAll('.run').length") == 1


def test_forgotten_session_goes_on_without_a_seam(browser, server, relay):
    """A server that was restarted gets everything after the last final text; words and time stamps go on on the page."""
    browser.navigate(relay.url)
    browser.click("#record")
    wait_words(browser, 25)
    relay.cut()
    browser.wait_for(LOST)
    assert len(browser.evaluate(HEARD)) >= 25
    server.script.forgets = True
    relay.mend()
    wait_words(browser, 50)
    browser.click("#record")
    browser.wait_for(FINISHED)

    first, second = server.sessions
    assert second.query["resume"] == first.token
    sentence = int(WORDS_PER_SEGMENT * 0.1 * SAMPLE_RATE)
    finals = int(first.samples / sentence)
    audio = first.audio[: finals * sentence * 2] + second.audio
    tone.check(audio)
    assert browser.evaluate(HEARD) == whole(len(audio) // 2)
    stamps = browser.evaluate("[...document.querySelectorAll('.line:not([hidden]) .stamp')].map(s => s.textContent)")
    assert stamps == [f"0:{int(i * WORDS_PER_SEGMENT * 0.1):02d}" for i in range(len(stamps))]


def test_waits_for_a_slot_after_a_restart(browser, server, relay):
    """When all slots are taken after a restart the page waits for one and says so, then goes on by itself."""
    browser.navigate(relay.url)
    browser.click("#record")
    wait_words(browser, 5)
    relay.cut()
    browser.wait_for(LOST)
    error = {"error": "No GPU resources available", "code": "no_capacity", "retry_after_s": 0.5}
    server.script = Script(word_s=0.1, forgets=True, refuse=(error, 1013))
    relay.mend()
    browser.wait_for(f"{STATUS}.startsWith('All slots are busy. Waiting for one')")
    assert browser.evaluate("document.querySelector('#notice').hidden")
    server.script = Script(word_s=0.1, forgets=True)
    browser.wait_for(f"{STATUS} === 'Reconnected'")
    wait_words(browser, 32)
    browser.click("#record")
    browser.wait_for(FINISHED)
    audio = server.sessions[-1].audio
    tone.check(audio)
    assert browser.evaluate(HEARD) == whole(len(audio) // 2)


@pytest.fixture(scope="module")
def gateway(start_server):
    """Return the real gateway with one worker whose recognizer is scripted."""
    return start_server(workers=1, recognizer={"by_position": True}, STEP_MIN_S="0.2", RESUME_GRACE_S="20", DRAIN_S="5")


def numbered(words):
    """Return the words as their places in the verse, counted on; a word out of turn fails."""
    places = [COMMON_WORDS.index(words[0])]
    for word in words[1:]:
        places.append(places[-1] + 1)
        assert word == COMMON_WORDS[places[-1] % len(COMMON_WORDS)], (len(places), words)
    return places


def test_gateway_resumes(browser, gateway):
    """The network breaks for longer than the slot is held: the gateway resumes the session, and every word is there once."""
    with Relay(gateway.port) as relay:
        browser.navigate(relay.url)
        browser.click("#record")
        browser.wait_for(f"{HEARD}.length > 3")
        relay.cut()
        browser.wait_for(LOST)
        gateway.wait_loads(0)
        relay.mend()
        browser.wait_for(f"{STATUS} === 'Reconnected'")
        browser.wait_for(f"{STATUS} === 'Ready to transcribe'")
        browser.wait_for(f"{HEARD}.length > 15")
        relay.cut()
        browser.wait_for(LOST)
        relay.mend()
        browser.wait_for(f"{STATUS} === 'Reconnected'")
        browser.click("#record")
        browser.wait_for(FINISHED)

    closed = gateway.log.wait("session_closed")
    assert closed["dropped"] == 0
    places = numbered(browser.evaluate(HEARD))
    assert places[0] <= 2  # the device begins with silence
    assert places[-1] == pytest.approx(closed["received"] / WORD_SAMPLES - 1, abs=1.1)
    assert len(gateway.log.find("session_closed")) == 1


def test_restarted_gateway_is_found_again(browser, gateway):
    """The gateway is restarted: its last words are final, and what was said meanwhile becomes words of the next session."""
    sessions = len(gateway.log.find("session_closed"))
    browser.navigate(f"http://localhost:{gateway.port}/")
    browser.click("#record")
    browser.wait_for(f"{HEARD}.length > 5")
    gateway.terminate_gateway()
    browser.wait_for(LOST)
    assert gateway.gateway.wait(10) == 0
    before = browser.evaluate(HEARD)
    gateway.start_gateway()
    browser.wait_for(f"{HEARD}.length > {len(before)} + 5", timeout_s=60)
    browser.click("#record")
    browser.wait_for(FINISHED)

    after = browser.evaluate(HEARD)
    assert after[: len(before)] == before
    numbered(before)
    assert numbered(after[len(before) :])[0] <= 1  # the new session's positions begin anew
    gateway.log.wait("session_closed", count=sessions + 2)
    first, second = gateway.log.find("session_closed")[sessions:]
    assert (first["dropped"], second["dropped"]) == (0, 0)
    recorded = browser.evaluate("document.querySelector('#timer').textContent.split(':')[1]")
    assert len(after) * WORD_SAMPLES / 16_000 == pytest.approx(float(recorded), abs=2)
