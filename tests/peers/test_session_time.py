"""Faults 11 to 16 and 23: what a session did when its client paused, stayed too long, or was too quick."""

import asyncio
import contextlib
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from gateway import server
from gateway.sessions.deadlines import FINALIZE_PAUSE_S, PAUSE_S
from shared import messages as m
from shared.settings import GatewaySettings
from tests.gateway.builders import S, hypothesis
from tests.gateway.conftest import gateway
from tests.gateway.sessions.harness import SessionHarness, pcm, sent_to_worker
from tests.gpu_worker.recognition.driver import Driver
from tests.scripted_recognizer import say
from tests.system.server import free_port

__all__ = ["gateway"]

UPGRADE = (
    b"GET /asr HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def finalized(session, now):
    """Return the positions that a session has its worker commit now."""
    return [message for message in sent_to_worker(session.on_time(now)) if isinstance(message, m.Finalize)]


def test_fault_11_a_pause_of_the_bytes_makes_every_word_final():
    """Bytes stop and the socket stays open: after 2 s the worker commits all, once.

    Relatives: a client that trickles, keepalives in the pause, a second pause, audio that waits for room.
    """
    session = SessionHarness().make_ready()
    assert finalized(session, 10.0) == []  # nothing has come yet
    session.on_audio(pcm(S), 10.0)
    session.on_keepalive(11.0)
    assert finalized(session, 10.0 + PAUSE_S - 0.1) == []
    assert finalized(session, 10.0 + PAUSE_S) == [m.Finalize(1, S, paused=True)]
    assert finalized(session, 30.0) == []
    for second in range(40, 50):
        session.on_audio(pcm(S // 2), second)
        assert finalized(session, second + 0.9) == []
    assert finalized(session, 49.0 + PAUSE_S) == [m.Finalize(1, 6 * S, paused=True)]
    session.count_audio_message(4 * 2 * S)
    session.on_audio(pcm(4 * S), 60.0)  # four seconds in one message: the next one is due in four
    assert finalized(session, 64.9) == []
    assert finalized(session, 65.0) == [m.Finalize(1, 10 * S, paused=True)]


def test_fault_11_a_session_without_a_worker_commits_with_the_next_one():
    """Relative: the pause comes while the session moves."""
    session = SessionHarness().make_ready()
    session.on_audio(pcm(S), 10.0)
    session.on_lost("died", 10.5, worker="gpu2")
    assert finalized(session, 12.5) == []
    assert m.Finalize(2, S, paused=True) in sent_to_worker(session.on_lease(2, 0, 13.0))


def test_fault_11_a_client_that_is_away_or_held_back_does_not_pause():
    """Relatives: a broken network, from which the client may come back in the middle of a word, and a full journal."""
    session = SessionHarness().make_ready()
    session.on_audio(pcm(S), 10.0)
    session.on_detached(10.1)
    assert finalized(session, 20.0) == []
    session.on_resumed(20.0)
    assert finalized(session, 20.0 + PAUSE_S - 0.1) == []
    full = SessionHarness(journal_s=2.0).make_ready()
    full.on_audio(pcm(2 * S), 0.0)
    assert [finalized(full, float(second)) for second in range(8)] == [[]] * 8


@pytest.mark.parametrize("end", [0, 100, 500, 7900])
def test_fault_11_the_rest_of_a_step_is_decoded(end):
    """What is less than a step's period, or than a frame of voice detection, is decoded; later speech is a new segment."""
    first, second = say(["one", "two", "three"]), say(["four", "five", 1.0])
    driver = Driver()
    spoken = first.pcm[: len(first.pcm) - 800 + min(end, 700)]
    driver.feed(spoken)
    driver.stream.finalize(len(spoken), paused=True)
    driver.settle()
    assert driver.text.split() == ["one", "two", "three"]
    assert [message.closes for message in driver.hypotheses if message.words or message.closes][-1]
    driver.feed(second.pcm)
    driver.finish()
    assert driver.text.split() == ["one", "two", "three", "four", "five"]
    starts = [word.start for word in driver.words[3:]]
    assert starts == pytest.approx([len(spoken) + word.start for word in second.words], abs=3200)


@pytest.mark.parametrize("reason", ["idle", "longest"])
def test_fault_12_and_13_every_word_is_final_before_the_end(reason):
    """Both bounds flush before they end the session, and the error says where the next session begins.

    Relatives: a session that is moving, one that has never had a slot (tests of the deadlines).
    """
    limits = {"idle": {"idle_timeout_s": 60.0}, "longest": {"max_session_s": 60.0}}[reason]
    session = SessionHarness(**limits).make_ready()
    session.on_audio(pcm(3 * S), 0.0)
    session.on_hypothesis(hypothesis(tail=" and so"))
    session.on_time(10.0)
    assert sent_to_worker(session.on_time(60.0)) == [m.Finish(1, 3 * S)]
    session.on_finished(m.Finished(1, m.AudioAccounting(3 * S, 3 * S, 0)))
    error = session.read()[-1]
    assert (error["code"], error["received"]) == ("session_limit", 3 * S)
    assert session.accounting.dropped == 0


def test_fault_16_only_time_without_progress_is_a_stall():
    """A file that fills the journal is held back for as long as it takes, while decoding goes on."""
    session = SessionHarness(journal_s=40.0, stall_limit_s=60.0).make_ready()
    session.on_audio(pcm(40 * S), 0.0)
    for second in range(1, 300):
        done = second * 5 * S
        session.on_hypothesis(hypothesis(keep_from=done, decoded=done))
        session.on_audio(bytes(session.capacity_bytes), float(second))
        assert session.on_time(float(second)) == []
    assert session.on_time(299.0 + 59.9) == []
    session.on_time(299.0 + 60.0)
    assert session.error.code == "overloaded"


@pytest.mark.parametrize("every_s", [0.1, 0.2, 0.3])
def test_fault_23_many_finalizes_make_no_words_up(every_s):
    """No piece of less than half a second of speech is closed by itself while speech goes on.

    Relatives: quicker and slower ones; a short answer with nothing after it (the next test).
    """
    speech = say(["one", "two", "three", "four", "five", "six", "seven", "eight", 1.0])
    step = round(every_s * S)
    driver = Driver()
    for first in range(0, len(speech.pcm), step):
        driver.stream.receive(first, speech.pcm[first : first + step].tobytes())
        driver.stream.finalize(driver.stream.received)
        driver.settle()
    driver.finish()
    ends = [message.words[-1].end for message in driver.hypotheses if message.closes and message.words]
    assert min(later - sooner for sooner, later in pairwise(ends)) >= 0.4 * S


def test_fault_23_a_short_answer_is_still_final():
    """Where nothing follows, the gateway says so after a moment, and the worker closes what there is."""
    session = SessionHarness().make_ready()
    session.on_audio(pcm(S), 10.0)
    assert sent_to_worker(session.on_finalize(10.1)) == [m.Finalize(1, S)]
    assert finalized(session, 10.0 + FINALIZE_PAUSE_S) == [m.Finalize(1, S, paused=True)]
    answer = say(["one"])
    driver = Driver()
    driver.feed(answer.pcm)
    driver.stream.finalize(driver.stream.received)
    driver.settle()
    assert driver.text == ""
    driver.stream.finalize(driver.stream.received, paused=True)
    driver.settle()
    assert driver.text.split() == ["one"]


@pytest.mark.parametrize(("code", "kept"), [(1001, True), (1012, True), (1006, True), (4000, True), (1000, False)])
async def test_fault_14_only_the_clients_own_goodbye_frees_the_slot(gateway, code, kept):
    """A proxy that reloads sends 1001 to both sides: the session waits for its client. Relatives: 1012, a broken network.

    The gateway took 1001 for a goodbye, and dropped what was not decoded.
    """
    client = await gateway.connected("mode=events")
    client.send(say(["one", "two"]).pcm.tobytes())
    await gateway.settle(2)
    token = client.messages[0]["resume_token"]
    client.close(code)
    await gateway.settle(1)
    again = await gateway.connected(f"mode=events&resume={token}&last_seq=0")
    assert again.messages[0]["resumed"] is kept


def test_fault_14_caddys_site_starts_with_either_version():
    """The option that Caddy 2.6 refuses is in a file of its own, which is only read where it lies beside the site."""
    deploy = Path(__file__).parents[2] / "deploy" / "caddy"
    assert "import newer/*.conf" in (deploy / "Caddyfile").read_text()
    assert "\nstream_close_delay " in (deploy / "newer" / "stream_close_delay.conf").read_text()


async def test_fault_15_silence_is_no_silence_of_the_server(monkeypatch, tmp_path):
    """A client is pinged whatever its mode, though it answers none: here each 0.1 s. It heard nothing for 67 s."""
    assert server.PING_INTERVAL_S <= 30
    monkeypatch.setattr(server, "PING_INTERVAL_S", 0.1)
    port = free_port()
    settings = GatewaySettings.from_env({"PORT": str(port), "RUN_DIR": str(tmp_path), "HOST": "127.0.0.1"})
    serving = asyncio.create_task(server.serve(settings))
    try:
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                await asyncio.sleep(0.05)
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            for _ in range(3):
                await reader.readuntil(b"\x89\x04")
            writer.close()
    finally:
        signal.raise_signal(signal.SIGTERM)  # `serve` handles it
        await serving
