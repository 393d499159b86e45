"""The monitor page in a real Chromium, on a real gateway with scripted workers."""

import asyncio
import contextlib
import signal
import threading

import pytest

from tests.system import chromium
from tests.system.server import STOP_LIMIT_S, eventually
from tests.system.sessions import open_sessions
from tests.system.talk import Talk

pytestmark = chromium.NEEDED

WORKERS = 2
LIVE = "document.body.dataset.link === 'live'"
LOADS = "[...document.querySelectorAll('.gpu .load > span:first-child')].map(node => Number(node.textContent))"
STATES = "[...document.querySelectorAll('.gpu')].map(node => node.dataset.state)"
ROWS = "[...document.querySelectorAll('.gpu .slot .who')].map(node => node.textContent)"
EVENTS = "[...document.querySelectorAll('#events li')].map(node => node.querySelector('.text').textContent)"
BOXES = """[...document.querySelectorAll('.gpu, .figure, .chart, .news')].map(node => {
    const {left, top, width, height} = node.getBoundingClientRect();
    return [left, top, width, height].map(Math.round).join(' ');
})"""
LOUD = """(() => {
    const removed = new Set();
    window.replaced = () => [...removed];
    new MutationObserver((records) => records.forEach((record) => {
        record.removedNodes.forEach((node) => node.nodeType === 1 && removed.add(node.className || node.tagName));
    })).observe(document.querySelector('#gpus'), {childList: true, subtree: true});
})()"""


@pytest.fixture(scope="module")
def server(start_server):
    """Give a server for all tests but the last; only the first has sessions on it."""
    return start_server(workers=WORKERS, WORKER_LOST_S="1")


@pytest.fixture
def people():
    """Give a function that keeps this many sessions open at a server, from its own thread, until it is called again."""
    with contextlib.ExitStack() as closing:

        def come(server, count):
            closing.close()
            arrived, leave = threading.Event(), threading.Event()

            async def stay():
                async with open_sessions(server, count):
                    arrived.set()
                    while not leave.is_set():
                        await asyncio.sleep(0.05)

            thread = threading.Thread(target=asyncio.run, args=(stay(),), daemon=True)
            thread.start()
            closing.callback(thread.join, 30)
            closing.callback(leave.set)
            assert arrived.wait(60)

        yield come


def see(browser, expression):
    """Wait until the expression is true on the page; the machine may be busy."""
    browser.wait_for(expression, timeout_s=90)


def same(expression, value):
    """Return the expression that tells whether another one has this value."""
    return f"JSON.stringify({expression}) === JSON.stringify({value!r})"


def test_the_monitor_follows_the_server(browser, server, people):
    """Tiles, rows, figures and events follow sessions that come and go and a worker that dies and returns, in place."""
    browser.navigate(f"{server.http_url}/monitor")
    see(browser, LIVE)
    see(browser, same(LOADS, [0, 0]))
    assert browser.text("#health") == "healthy"
    assert browser.evaluate(ROWS) == ["free"] * 8
    browser.evaluate(LOUD)
    boxes = browser.evaluate(BOXES)

    people(server, 8)
    see(browser, same(LOADS, [4, 4]))
    names = [name[:8] for gpu in server.get("/gpu-status")["gpus"] for name in gpu["connection_ids"]]
    see(browser, same(f"{ROWS}.sort()", sorted(names)))
    see(browser, "document.querySelector('#health').textContent === 'critical'")
    assert browser.evaluate(BOXES) == boxes, "something has jumped"

    refusal = asyncio.run(refused(server))
    assert refusal == "no_capacity"
    see(browser, f"{EVENTS}.includes('A session was refused')")

    people(server, 2)
    see(browser, same(LOADS, [1, 1]))
    see(browser, "document.querySelector('#setup-note').textContent === 'median of 10 in 10 min'")
    see(browser, "/Slots in use: .* at most 8 /.test(document.querySelector('#used-chart').ariaLabel)")

    server.signal_worker(0, signal.SIGKILL)
    see(browser, same(STATES, ["lost", "serving"]))
    see(browser, same(LOADS, [0, 2]))
    see(browser, "document.querySelector('#health-note').textContent === '1 of 2 GPUs serving'")
    see(browser, f"{EVENTS}.includes('GPU 0 is lost') && {EVENTS}.some(text => text.endsWith('moved, GPU 0 → 1'))")
    assert browser.evaluate(BOXES) == boxes, "something has jumped"
    server.start_worker(0)
    see(browser, same(STATES, ["serving", "serving"]))
    boots = "document.querySelectorAll('.gpu')[0].querySelectorAll('dd')[3].textContent"
    assert browser.evaluate(boots) == "2"

    assert browser.evaluate("replaced()") == [], "nodes were made anew"
    assert browser.evaluate("document.querySelectorAll('[style]').length") == 0
    assert browser.console == []


async def refused(server):
    """Return the code with which one more session is turned away."""
    async with Talk(server) as talk:
        await talk.ended()
        return talk.errors[0][0]


def test_a_phone_shows_it_all(browser, server):
    """At 390 pixels nothing has to be scrolled sideways, nothing is cut off, and the text stands out, by day and night."""
    try:
        for dark in (False, True):
            browser.look(390, 844, phone=True, dark=dark)
            browser.navigate(f"{server.http_url}/monitor")
            see(browser, LIVE)
            see(browser, same(LOADS, [0, 0]))
            see(browser, "getComputedStyle(document.querySelector('.board')).opacity === '1'")
            assert browser.evaluate("document.documentElement.scrollWidth") == 390
            assert browser.evaluate(OUTSIDE) == []
            assert browser.evaluate(PALE) == []
            assert browser.console == []
    finally:
        browser.look()


OUTSIDE = """[...document.querySelectorAll('main *, header *')]
    .filter(node => node.checkVisibility() && node.getBoundingClientRect().right > innerWidth + 1)
    .map(node => node.outerHTML.slice(0, 120))"""

PALE = """(() => {
    const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = (node) => {
        const colour = channels(getComputedStyle(node).backgroundColor);
        return colour.length === 4 && colour[3] === 0 ? ground(node.parentElement) : colour;
    };
    const pale = [];
    for (const node of document.querySelectorAll('main *, header *')) {
        const hasText = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim() !== '');
        if (!hasText || !node.checkVisibility()) continue;
        const [a, b] = [light(channels(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < 4.5) pale.push(`${contrast.toFixed(2)} ${node.className} ${node.textContent.slice(0, 30)}`);
    }
    return pale;
})()"""


def test_the_back_forward_cache_holds_no_connection(browser, server):
    """Going back and forth between pages leaves no connection open: a browser has six for each server."""
    for _ in range(8):
        browser.navigate(f"{server.http_url}/monitor")
        see(browser, LIVE)
    browser.evaluate("window.isNewest = true")
    history = browser.call("Page.getNavigationHistory")
    browser.call("Page.navigateToHistoryEntry", entryId=history["entries"][history["currentIndex"] - 2]["id"])

    def is_back():
        with contextlib.suppress(chromium.PageError):  # a question asked while the page changes has no answer
            return browser.evaluate("location.pathname === '/monitor' && window.isNewest === undefined")

    eventually(is_back)
    see(browser, LIVE)
    see(browser, same(LOADS, [0, 0]))
    assert browser.console == []


def test_out_of_date_figures_look_so(browser, server):
    """When the gateway is frozen the page says that it hears nothing; when it is gone and back, the page finds it by itself."""
    browser.navigate(f"{server.http_url}/monitor")
    see(browser, LIVE)
    server.gateway.send_signal(signal.SIGSTOP)
    try:
        see(browser, "document.body.dataset.link === 'stale'")
        assert browser.text("#link") == "No news. Trying again…"
    finally:
        server.gateway.send_signal(signal.SIGCONT)
    see(browser, LIVE)

    server.terminate_gateway()
    assert server.gateway.wait(STOP_LIMIT_S) == 0, "an open stream must not hold up the end"
    see(browser, "document.body.dataset.link === 'stale'")
    server.start_gateway()
    see(browser, LIVE)
    eventually(lambda: server.get("/health")["gpus"]["total"] == WORKERS, 30)
    see(browser, same(STATES, ["serving", "serving"]))
    assert [line for line in browser.console if "net::ERR" not in line] == []


def test_a_token_opens_the_monitor(browser, start_server):
    """With MONITOR_TOKEN the page opens with ?token= once, then without, and the token stays in no address."""
    server = start_server(workers=1, MONITOR_TOKEN="open sesame")
    assert server.fetch("/monitor").status_code == 401
    browser.navigate(f"{server.http_url}/monitor?token=open%20sesame")
    see(browser, LIVE)
    assert browser.evaluate("location.href") == f"{server.http_url}/monitor"
    browser.navigate(f"{server.http_url}/monitor")
    see(browser, LIVE)
    assert browser.console == []
