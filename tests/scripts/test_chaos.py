"""The cores of scripts/chaos: what is done when, what differs, and when a goal is missed."""

import asyncio
import itertools
from dataclasses import replace

import pytest
from whisper_live_client.events import Accounting, ErrorEvent, Final, FinalWord, ReadyToStop, Status
from whisper_live_client.outcome import Exit, Outcome
from whisper_live_client.transcript import Transcript

from scripts.fault_injection.proxy import Proxy
from scripts.fault_injection.schedule import FIRST_S, QUIET_END_S, SHORTEST_S, Kind, pick, schedule
from scripts.fault_injection.verdict import Injected, SessionRecord, Verdict, compare, nearest_rank, record, sort_gaps
from scripts.tools.corpus import Corpus, Utterance, make_streams
from scripts.tools.driver import SessionResult
from scripts.tools.server_api import Move

TEXT = ("the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and", "runs", "away")


def test_a_seed_is_a_schedule():
    """The same seed gives the same faults, of every kind, apart from each other and from both ends."""
    faults = schedule(7, 120.0, 8.0)
    assert faults == schedule(7, 120.0, 8.0) != schedule(8, 120.0, 8.0)
    assert {fault.kind for fault in faults} == set(Kind)
    assert all(FIRST_S <= fault.at_s < 120.0 - QUIET_END_S for fault in faults)
    assert all(after.at_s - before.at_s >= SHORTEST_S for before, after in itertools.pairwise(faults))
    assert {pick(fault.choice, 3) for fault in faults} <= {0, 1, 2}


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        (TEXT, (0, 0, 0, 0)),
        (TEXT[:3] + TEXT[5:], (2, 0, 0, 0)),
        (TEXT[:5] + TEXT[3:], (0, 2, 2, 0)),
        ((*TEXT[:4], "happily", *TEXT[4:]), (0, 1, 0, 0)),
        ((*TEXT[:4], "jumped", *TEXT[5:]), (0, 0, 0, 1)),
    ],
    ids=["same", "lost", "doubled", "added", "changed"],
)
def test_differences(heard, expected):
    """Words lost, added, said twice and changed are told apart."""
    difference = compare(TEXT, heard)
    assert (difference.lost, difference.added, difference.doubled, difference.changed) == expected
    assert difference.words == len(TEXT)


def test_causes_of_gaps():
    """A lost worker's moves count for what was last done to it, a drain's for the drain, the rest for neither."""
    faults = [Injected(Kind.KILL, 0, 10.0), Injected(Kind.CUT, 1, 11.0), Injected(Kind.HANG, 0, 20.0)]
    moves = [
        Move("a", 0, 1, "worker_lost", 300.0, 10.4),
        Move("b", 0, 1, "worker_lost", 2400.0, 22.0),
        Move("c", 1, 2, "worker_lost", 7.0, 23.0),
        Move("d", 1, 2, "drain", 30.0, 23.0),
        Move("e", 1, 2, "balance", 40.0, 23.0),
    ]
    assert sort_gaps(moves, faults) == {"kill": [300.0], "hang": [2400.0], "drain": [30.0], "other": [7.0, 40.0]}
    assert nearest_rank([float(value) for value in range(1, 101)], 95) == 95.0
    assert [nearest_rank(values, 50) for values in ([2.0, 1.0], [3.0, 1.0, 2.0], [])] == [1.0, 2.0, None]


GOOD = SessionRecord(
    said=TEXT,
    words=TEXT,
    times=tuple((float(at), at + 1.0) for at in range(len(TEXT))),
    sent=100,
    books=Accounting(received=100, transcribed=80, silence=20, dropped=0),
    moves=1,
    reconnects=1,
    violations=(),
    problem=None,
)


@pytest.mark.parametrize(
    ("end", "sentence", "problem"),
    [
        (ReadyToStop(2, Accounting(100, 100, 0, 0)), "", None),
        (ReadyToStop(2, Accounting(99, 99, 0, 0)), "the server received 99 samples", None),
        (ReadyToStop(2, None), "", "ended without a last word"),
        (ErrorEvent(2, "no room", None, None), "no room", "no room"),
        (Status(2, "Ready to transcribe", 0, "ready"), "not at its end after 9 s", "not at its end after 9 s"),
    ],
    ids=["complete", "samples missing", "no accounts", "error", "cut off"],
)
def test_a_session_that_did_not_end_well_has_a_problem(end, sentence, problem):
    """Only a whole ending with accounts is one; samples that are missing in them have a goal of their own."""
    transcript = Transcript(0.0)
    transcript.fold(
        Final(1, 0, "the end", 0.0, 1.0, (FinalWord("the", 0.0, 0.5, 0.9), FinalWord("end", 0.5, 1.0, 0.9)), "en")
    )
    transcript.fold(end)
    (stream,) = make_streams(Corpus("test", ((Utterance("u", "the end", (), bytes(200)),),), 0.0, 0.0), 1, None)
    found = record(SessionResult(stream, transcript, Outcome(Exit.FAILED, sentence), 0), str.split)
    assert (found.problem, found.words, found.said) == (problem, ("the", "end"), ("the", "end"))
    assert found.times == ((0.0, 0.5), (0.5, 1.0))
    assert found.sent == 100


def verdict(disturbed=GOOD, kill=2999.0, drain=1499.0):
    gaps = {"kill": [kill], "hang": [], "drain": [drain], "other": []}
    return Verdict((GOOD,), (GOOD,), (disturbed,), (), gaps, 0)


def test_all_goals_met():
    """Sessions that end well, whole, in order and in time meet every goal."""
    assert all(met for _, met in verdict().goals())
    assert (verdict().undisturbed_errors.errors, verdict().disturbed_errors.errors, verdict().damage.errors) == (
        0,
        0,
        0,
    )


@pytest.mark.parametrize(
    ("disturbed", "found", "goal"),
    [
        (replace(GOOD, problem="closed"), {}, "no session ended"),
        (replace(GOOD, books=replace(GOOD.books, received=99)), {}, "no sample unaccounted"),
        (replace(GOOD, books=replace(GOOD.books, transcribed=79, dropped=1)), {}, "no sample unaccounted"),
        (replace(GOOD, times=((0.0, 1.0), (0.9, 2.0))), {}, "no committed word before"),
        (replace(GOOD, violations=("seq 3 after 4",)), {}, "no promise"),
        (replace(GOOD, words=TEXT[1:]), {}, "word error rate"),
        (GOOD, {"kill": 3001.0}, "gap after a kill"),
        (GOOD, {"drain": 1501.0}, "gap in a drain"),
    ],
)
def test_each_goal_can_be_missed(disturbed, found, goal):
    """What goes wrong misses its own goal and no other."""
    missed = [sentence for sentence, met in verdict(disturbed, **found).goals() if not met]
    assert len(missed) == 1
    assert missed[0].startswith(goal)


def test_a_proxy_carries_and_cuts():
    """The proxy carries bytes both ways until it is cut, which both ends see as a reset."""

    async def once():
        ended = asyncio.Event()

        async def echo(reader, writer):
            try:
                while data := await reader.read(100):
                    writer.write(data)
            except ConnectionResetError:
                ended.set()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server, Proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
            assert not proxy.cut()
            reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.split(":")[2].split("/")[0]))
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            assert proxy.cut()
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            await asyncio.wait_for(ended.wait(), 30)
            writer.close()

    asyncio.run(asyncio.wait_for(once(), 60))
