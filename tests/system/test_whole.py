"""Issue 2's whole: sixteen people speak to four workers under supervisord, with real weights, and a seventeenth comes."""

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass, field

import jiwer
import pytest
from whisper.normalizers import EnglishTextNormalizer

from shared.clips import load_clips
from tests.system.server import eventually
from tests.system.supervised import WORKERS, Supervised
from tests.system.talk import STATUSES, Talk

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

CLIPS = load_clips()
SESSIONS = 16
UNLOAD_S = 2
WORD_ERRORS = 0.06
SAME_WORDS_ERRORS = 0.15
LEAST_GB = 0.03
"""Half of what a worker's prepared copy of the smallest model takes."""

normalize = EnglishTextNormalizer()


def speech(number):
    """Return what the guest with this number says: two clips as one sound, and their words."""
    clips = [CLIPS[(number + offset) % len(CLIPS)] for offset in (0, 1)]
    return b"".join(clip.pcm() for clip in clips), " ".join(clip.text for clip in clips)


@dataclass
class Evening:
    """What was seen from the first guest to the last one's leaving."""

    loads: dict[int, list[int]] = field(default_factory=dict)
    health: dict[str, dict] = field(default_factory=dict)
    memory_gb: dict[str, list[float]] = field(default_factory=dict)
    talks: list[Talk] = field(default_factory=list)
    books: list[dict] = field(default_factory=list)
    refused: Talk | None = None
    late_s: float = 0.0


def memory_gb(server):
    return [gpu["allocated_memory_gb"] for gpu in server.get("/gpu-status")["gpus"]]


async def spend(server):
    """Let guests come one by one, all speak at once, and all leave."""
    evening = Evening()
    evening.memory_gb["before"] = await asyncio.to_thread(
        eventually, lambda: all(memory_gb(server)) and memory_gb(server)
    )
    async with contextlib.AsyncExitStack() as guests:
        for number in range(SESSIONS):
            talk = await guests.enter_async_context(Talk(server, mode="events" if number % 2 else "full"))
            await talk.ready()
            evening.talks.append(talk)
            evening.loads[number + 1] = server.loads()
            if number + 1 in (8, SESSIONS):
                evening.health[f"{number + 1} sessions"] = server.get("/health")
        async with Talk(server, mode="full") as evening.refused:
            await evening.refused.ended()

        async def speak(number, talk):
            pcm, _ = speech(number)
            await talk.send(pcm, real_time=True)
            await talk.finish()
            said = time.monotonic()
            books = await talk.done(limit_s=100)
            assert books["received"] == len(pcm) // 2
            evening.late_s = max(evening.late_s, time.monotonic() - said)
            return books

        speaking = asyncio.gather(*(speak(number, talk) for number, talk in enumerate(evening.talks)))
        most = evening.memory_gb["before"]
        while not speaking.done():
            now = await asyncio.to_thread(memory_gb, server)
            most = [max(pair) for pair in zip(most, now, strict=True)]
            await asyncio.wait([speaking], timeout=1)
        evening.memory_gb["speaking"] = most
        evening.books = speaking.result()
    await asyncio.to_thread(server.wait_loads, 0, 0, 0, 0)
    evening.health["after"] = server.get("/health")
    await asyncio.to_thread(server.log.wait, "weights_released", count=WORKERS, limit_s=UNLOAD_S + 10)

    def has_fallen():
        now = evening.memory_gb["after"] = memory_gb(server)
        return all(a < b - LEAST_GB for a, b in zip(now, evening.memory_gb["speaking"], strict=True))

    await asyncio.to_thread(eventually, has_fallen, 5, "lower memory")
    return evening


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Give the real thing."""
    with Supervised(tmp_path_factory.mktemp("whole") / "run", MODEL_IDLE_UNLOAD_S=str(UNLOAD_S)) as server:
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def evening(server):
    """Give what was seen in one evening."""
    return asyncio.run(asyncio.wait_for(spend(server), 150))


def test_distribution(evening):
    """The first is on GPU 0, eight are two on each, sixteen four on each, and loads never differ by more than one."""
    assert evening.loads[1] == [1, 0, 0, 0]
    assert evening.loads[8] == [2, 2, 2, 2]
    assert evening.loads[16] == [4, 4, 4, 4]
    for count, loads in evening.loads.items():
        assert sum(loads) == count
        assert max(loads) - min(loads) <= 1


def test_words(evening):
    """All sixteen got their own words, committed: those who say the same fewer than fifteen errors in a hundred."""
    said = [normalize(speech(number)[1]) for number in range(SESSIONS)]
    got = [normalize(talk.text) for talk in evening.talks]
    for first in range(len(CLIPS)):
        same = slice(first, None, len(CLIPS))
        assert jiwer.wer(said[same], got[same]) < SAME_WORDS_ERRORS, (said[same], got[same])
    assert jiwer.wer(said, got) < WORD_ERRORS, got
    assert all(talk.shown == talk.text for talk in evening.talks)


def test_statuses(evening):
    """Everybody was told the four statuses in order, with the right GPU, then read nothing but words to the end."""
    for number, talk in enumerate(evening.talks):
        assert talk.statuses == [sentence.format(number % WORKERS) for sentence in STATUSES]
        assert talk.errors == []


def test_words_came_while_speaking(evening):
    """Words were shown before the end of the audio, to each of the sixteen."""
    for talk in evening.talks:
        states = (
            talk.of("partial")
            if talk.mode == "events"
            else [s for s in talk.of(None) if s["status"] == "active_transcription"]
        )
        assert len(states) >= 2


def test_books(evening):
    """Every sample of everybody is accounted for, and none was dropped."""
    for books in evening.books:
        assert books["received"] == books["transcribed"] + books["silence"]
        assert books["dropped"] == 0
        assert books["transcribed"] > 0.5 * books["received"]


def test_the_seventeenth(evening, server):
    """The one too many was told so in words after the first two statuses, closed with 1013, and logged."""
    refused = evening.refused
    assert refused.statuses == list(STATUSES[:2])
    assert refused.messages[-1]["error"] == "No GPU resources available"
    assert refused.close == 1013
    assert (
        server.log.find("no_gpu_resources", connection=refused.messages[0]["session"])[0]["event"]
        == "No GPU resources available"
    )


def test_health(evening):
    """Half full is healthy, full is critical, empty is healthy again."""
    assert evening.health["8 sessions"]["status"] == "healthy"
    assert evening.health["8 sessions"]["capacity"]["utilization_percent"] == 50.0
    full = evening.health["16 sessions"]
    assert full["status"] == "critical"
    assert full["capacity"] == {"total_slots": 16, "used_slots": 16, "available_slots": 0, "utilization_percent": 100.0}
    assert full["gpus"] == {"total": 4, "with_connections": 4}
    assert evening.health["after"]["status"] == "healthy"
    assert evening.health["after"]["performance"]["total_completed_connections"] == SESSIONS


def test_memory(evening):
    """Each worker's memory rises with its first session and falls once its weights are released."""
    before, speaking, after = (evening.memory_gb[when] for when in ("before", "speaking", "after"))
    for number in range(WORKERS):
        assert speaking[number] > before[number] + LEAST_GB
        assert after[number] < speaking[number] - LEAST_GB


def test_setup(evening, server):
    """Sockets are accepted within 100 ms, and every session was ready within the guide's three seconds on average."""
    assert all(entry["accept_ms"] < 100 for entry in server.log.find("websocket_accepted"))
    performance = server.get("/performance")
    assert 0 < performance["averages"]["setup_time_ms"] < 3000
    assert performance["outcomes"] == {"complete": SESSIONS, "no_capacity": 1}


def test_log_sentences(evening, server):
    """The log tells each session's story in the guide's sentences, and every Allocated has its Released."""
    for number, talk in enumerate(evening.talks):
        name, gpu = talk.messages[0]["session"], number % WORKERS
        said = [
            entry["event"]
            for entry in server.log.entries
            if entry.get("connection") == name and entry["process"] == "gateway"
        ]
        for pattern in (
            rf"Connection {name}: WebSocket accepted \(\d+ms\)",
            rf"Allocated GPU {gpu} to connection {name}",
            rf"Connection {name}: GPU {gpu} allocated \(\d+ms\)",
            rf"Connection {name}: TranscriptionEngine loaded \(\d+ms\)",
            rf"Released GPU {gpu} from connection {name}",
        ):
            assert sum(bool(re.fullmatch(pattern, sentence)) for sentence in said) == 1, (pattern, said)
    server.log.check()
    assert len(server.log.find("gpu_allocated")) == len(server.log.find("gpu_released")) == SESSIONS
