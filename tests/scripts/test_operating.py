"""Whether a worker may be restarted, what became of its sessions, and how the server's endpoints are read."""

import socket

import pytest

from scripts.ops.restart import KEPT, Fate, Restart, refusal
from scripts.tools.server_api import (
    AnswerError,
    Averages,
    Ending,
    GpuStatus,
    Health,
    Move,
    Performance,
    ServerApi,
    UnreachableError,
    Worker,
    read,
    read_gpu_status,
)

GUIDE_GPU = {"gpu_id": 0, "active_connections": 1, "connection_ids": ["abc-123"], "allocated_memory_gb": 7.45}
MOVE = Move("x", 0, 1, "drain", 40.0, 100.0)


def worker(gpu_id, *names, state="serving", boot="a", slots=4):
    slots = slots if state == "serving" else 0
    return Worker(gpu_id, len(names), frozenset(names), None, slots=slots, state=state, boot=boot)


def status(*workers, waiting=(), graced=()):
    return GpuStatus(workers, frozenset(waiting), frozenset(graced), None)


def performance(*moves, **endings):
    return Performance(None, moves, tuple(Ending(*each) for each in endings.items()))


def restart_of(*workers, moves=()):
    return Restart(status(*workers), performance(*moves), 0)


def test_reading_the_endpoints():
    """The bodies' keys become workers, moves and endings, workers in order; other keys do not matter."""
    lost = {"gpu_id": 1, "state": "lost", "boot": None, "slots": 0, "active_connections": 1, "connection_ids": None}
    body = {"gpus": [lost, GUIDE_GPU], "max_connections_per_gpu": 4, "waiting_connection_ids": ["y"], "more": {}}
    seen = read_gpu_status(body)
    assert seen.gpus == (
        Worker(0, 1, frozenset({"abc-123"}), 7.45, slots=4),
        Worker(1, 1, None, None, slots=4, state="lost"),
    )
    assert (seen.waiting_connection_ids, seen.graced_connection_ids, seen.lag_s) == ({"y"}, None, None)
    move = {"connection": "x", "from_gpu": None, "to_gpu": 1, "reason": "resume", "gap_ms": 3, "at": 7}
    ending = {"connection": "z", "outcome": "complete", "at": 1}
    recent = {"averages": {"setup_time_ms": 12}, "recent_moves": [move], "recent_endings": [ending]}
    assert read(Performance, "/performance", recent) == Performance(
        Averages(12.0), (Move("x", None, 1, "resume", 3.0, 7.0),), (Ending("z", "complete"),)
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "/gpu-status: 'gpus' is missing"),
        ({"gpus": 3}, "gpus: 3 is no list"),
        ({"gpus": [3]}, "gpus: 3 is no object"),
        ({"gpus": [GUIDE_GPU | {"gpu_id": "0"}]}, "gpus: gpu_id: '0' is no whole number"),
        ({"gpus": [{"gpu_id": 0}]}, "gpus: 'active_connections' is missing"),
        ({"gpus": [], "waiting_connection_ids": [1]}, "waiting_connection_ids: 1 is no text"),
    ],
)
def test_another_server_is_named_by_what_is_wrong(body, why):
    """A body that is none of a server's is refused, with the key and the value that are wrong."""
    with pytest.raises(AnswerError, match="does not answer like our gateway") as error:
        read_gpu_status(body)
    assert why in str(error.value)
    with pytest.raises(AnswerError, match="/health: 'status' is missing"):
        read(Health, "/health", {})


def test_where_nothing_listens():
    """A refused connection is told as what an operator can do about it, whichever address of the server was given."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        for url in (f"http://127.0.0.1:{port}/", f"ws://127.0.0.1:{port}/asr?mode=full"):
            with pytest.raises(UnreachableError) as error:
                ServerApi(url).health()
            here = f"http://127.0.0.1:{port}"
            assert str(error.value) == f"nothing listens at {here}; is scripts/serve running, on another PORT?"


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:8000", "http://127.0.0.1:99999", "http://127.0.0.1:x"])
def test_what_is_no_address(url):
    """An address at which there can be no server is one line for the user."""
    with pytest.raises(UnreachableError):
        ServerApi(url).health()


@pytest.mark.parametrize(
    ("workers", "sentence"),
    [
        ([worker(0, "x", "y"), worker(1)], None),
        ([worker(0), worker(1, state="lost")], None),
        ([worker(0, "x"), worker(1, state="lost")], "GPU worker 0 is the last one that serves, and has 1 session."),
        ([worker(0, "x"), worker(1, state="draining")], "GPU worker 0 is the last one that serves, and has 1 session."),
        (
            [worker(0, "x", "y"), worker(1, "z", slots=2)],
            "GPU worker 0 has 2 sessions, and the others have room for 1.",
        ),
        ([worker(1), worker(2)], "There is no GPU worker 0; there are 1, 2."),
    ],
)
def test_refusal(workers, sentence):
    """A worker is not restarted when its sessions would have nowhere to go, or when it is not there."""
    assert refusal(status(*workers), 0) == sentence


def test_a_restart_that_goes_well():
    """A session moves, another waits for its client, one ends: with the new boot serving all is well."""
    restart = restart_of(worker(0, "x", "y", "z"), worker(1))
    assert not restart.back
    assert not restart.settled
    assert restart.update(status(worker(0, "y", "z", state="draining"), worker(1, "x")), performance(MOVE)) == [MOVE]
    assert restart.update(status(worker(0, state="lost"), worker(1, "x")), performance(MOVE, z="complete")) == []
    assert not restart.back
    restart.update(status(worker(0, boot="b"), worker(1, "x"), graced=["y"]), performance())
    assert restart.back
    assert restart.settled
    assert restart.kept
    fates = {account.session: account.fate for account in restart.accounts()}
    assert fates == {"x": Fate.ELSEWHERE, "y": Fate.GRACED, "z": Fate.COMPLETE}
    assert restart.accounts()[0].moves == (MOVE,)


@pytest.mark.parametrize(
    ("after", "recent", "fate"),
    [
        (status(worker(0, boot="b"), worker(1)), performance(x="recognition_failed"), Fate.FAILED),
        (status(worker(0, boot="b"), worker(1)), performance(), Fate.UNKNOWN),
        (status(worker(0, boot="b"), worker(1), waiting=["x"]), performance(), Fate.WAITING),
        (status(worker(0, "x"), worker(1)), performance(), Fate.STAYED),
    ],
)
def test_a_restart_that_loses_a_session(after, recent, fate):
    """A session that was ended, is nowhere, still waits or never left is not kept."""
    restart = restart_of(worker(0, "x"), worker(1))
    restart.update(after, recent)
    assert not restart.kept
    assert [account.fate for account in restart.accounts()] == [fate]
    assert fate not in KEPT


def test_back_on_the_new_worker():
    """A session that waited for the worker itself, as forced, is kept once the new life has it."""
    restart = restart_of(worker(0, "x"))
    restart.update(status(worker(0, boot="b"), waiting=["x"]), performance())
    assert not restart.settled
    restart.update(status(worker(0, "x", boot="b")), performance())
    assert (restart.settled, restart.kept, restart.back) == (True, True, True)


def test_moves_of_others_and_of_before_do_not_count():
    """Only new moves of the sessions that were on the worker are reported, each once."""
    old = Move("x", 1, 0, "balance", 20.0, 50.0)
    restart = restart_of(worker(0, "x"), worker(1, "o"), moves=[old])
    recent = performance(old, MOVE, Move("o", 1, 2, "balance", 9.0, 101.0))
    after = status(worker(0, state="lost"), worker(1, "x"))
    assert restart.update(after, recent) == [MOVE]
    assert restart.update(after, recent) == []
