"""The page in a real Chromium with the real gateway and a worker whose recognizer is scripted, while connections break."""

import sys

import pytest

from tests.gateway.web import tone
from tests.gateway.web.positional_worker import VERSE, WORD_SAMPLES
from tests.gateway.web.relay import Relay
from tests.system import chromium

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(chromium.installed() is None, reason="Chromium is not installed"),
]

WORKER = (sys.executable, "-m", "tests.gateway.web.positional_worker")
STATUS = "document.querySelector('#status').textContent"
LOST = f"{STATUS}.startsWith('Connection lost. Reconnecting… your words are kept.')"
READY = f"{STATUS} === 'Ready to transcribe'"
FINISHED = f"{STATUS}.startsWith('Finished')"
HEARD = (
    "[...document.querySelectorAll('.line:not([hidden]) .words')].map(p => p.textContent).join(' ').trim().split(' ')"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    microphone = tone.write(tmp_path_factory.mktemp("microphone") / "tone.wav")
    with chromium.Chromium(microphone) as running:
        running.look()
        yield running


@pytest.fixture(scope="module")
def server(start_server):
    return start_server(workers=1, worker=WORKER, STEP_MIN_S="0.2", RESUME_GRACE_S="20", DRAIN_S="5")


@pytest.fixture
def relay(server):
    with Relay(server.port) as running:
        yield running


def numbered(words):
    """Return the words as their places in the verse, counted on; a word out of turn fails."""
    places = [VERSE.index(words[0])]
    for word in words[1:]:
        places.append(places[-1] + 1)
        assert word == VERSE[places[-1] % len(VERSE)], (len(places), words)
    return places


def test_broken_connection_resumes(browser, server, relay):
    """The network breaks for longer than the slot is held: the gateway resumes the session, and every word is there once."""
    browser.navigate(relay.url)
    browser.click("#record")
    browser.wait_for(f"{HEARD}.length > 3")
    relay.cut()
    browser.wait_for(LOST)
    server.wait_loads(0)
    relay.mend()
    browser.wait_for(f"{STATUS} === 'Reconnected'")
    browser.wait_for(READY)
    browser.wait_for(f"{HEARD}.length > 15")
    relay.cut()
    browser.wait_for(LOST)
    relay.mend()
    browser.wait_for(f"{STATUS} === 'Reconnected'")
    browser.click("#record")
    browser.wait_for(FINISHED)

    closed = server.log.wait("session_closed")
    assert closed["dropped"] == 0
    places = numbered(browser.evaluate(HEARD))
    assert places[0] <= 2  # the device begins with silence
    assert places[-1] == pytest.approx(closed["received"] / WORD_SAMPLES - 1, abs=1.1)
    assert len(server.log.find("session_closed")) == 1


def test_restarted_gateway_is_found_again(browser, server):
    """The gateway is restarted: its last words are final, and what was said meanwhile becomes words of the next session."""
    sessions = len(server.log.find("session_closed"))
    browser.navigate(f"http://localhost:{server.port}/")
    browser.click("#record")
    browser.wait_for(f"{HEARD}.length > 5")
    server.terminate_gateway()
    browser.wait_for(LOST)
    assert server.gateway.wait(10) == 0
    before = browser.evaluate(HEARD)
    server.start_gateway()
    browser.wait_for(f"{HEARD}.length > {len(before)} + 5", timeout_s=20)
    browser.click("#record")
    browser.wait_for(FINISHED)

    after = browser.evaluate(HEARD)
    assert after[: len(before)] == before
    numbered(before)
    assert numbered(after[len(before) :])[0] <= 1  # the new session's positions begin anew
    server.log.wait("session_closed", count=sessions + 2)
    first, second = server.log.find("session_closed")[sessions:]
    assert (first["dropped"], second["dropped"]) == (0, 0)
    recorded = browser.evaluate("document.querySelector('#timer').textContent.split(':')[1]")
    assert len(after) * WORD_SAMPLES / 16_000 == pytest.approx(float(recorded), abs=2)
