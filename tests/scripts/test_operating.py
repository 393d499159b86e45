"""Whether a worker may be restarted, and what became of its sessions."""

import pytest

from scripts.operating.restart import KEPT, Fate, Restart, refusal
from scripts.operating.status import Move, Status, Worker, read


def worker(gpu_id, *names, state="serving", boot="a", slots=4):
    return Worker(gpu_id, state, boot, slots if state == "serving" else 0, frozenset(names))


def status(*workers, waiting=(), graced=(), moves=(), endings=None):
    return Status(workers, frozenset(waiting), frozenset(graced), tuple(moves), endings or {})


MOVE = Move("x", 0, 1, "drain", 40.0, 100.0)


def test_reading_the_endpoints():
    """The bodies' keys become workers, moves and endings; a body without them is refused by name."""
    gpu = {"gpu_id": 1, "state": "lost", "boot": None, "slots": 0, "connection_ids": ["x"]}
    gpus = {"gpus": [gpu], "waiting_connection_ids": ["y"], "graced_connection_ids": []}
    move = {"connection": "x", "from_gpu": None, "to_gpu": 1, "reason": "resume", "gap_ms": 3.5, "at": 7}
    recent = {"recent_moves": [move], "recent_endings": [{"connection": "z", "outcome": "complete", "at": 1}]}
    seen = read(gpus, recent)
    assert seen.workers == (Worker(1, "lost", None, 0, frozenset({"x"})),)
    assert (seen.waiting, seen.endings) == ({"y"}, {"z": "complete"})
    assert seen.moves == (Move("x", None, 1, "resume", 3.5, 7.0),)
    for broken in ({}, gpus | {"gpus": 3}, gpus | {"waiting_connection_ids": [1]}):
        with pytest.raises(ValueError, match="does not answer like our gateway"):
            read(broken, recent)
    with pytest.raises(ValueError, match="MONITOR_TOKEN"):
        read(gpus | {"waiting_connection_ids": None}, recent)


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
    restart = Restart(status(worker(0, "x", "y", "z"), worker(1)), 0)
    assert not restart.back
    assert not restart.settled
    assert restart.see(status(worker(0, "y", "z", state="draining"), worker(1, "x"), moves=[MOVE])) == [MOVE]
    assert restart.see(status(worker(0, state="lost"), worker(1, "x"), moves=[MOVE], endings={"z": "complete"})) == []
    assert not restart.back
    restart.see(status(worker(0, boot="b"), worker(1, "x"), graced=["y"]))
    assert restart.back
    assert restart.settled
    assert restart.kept
    fates = {account.session: account.fate for account in restart.accounts()}
    assert fates == {"x": Fate.ELSEWHERE, "y": Fate.GRACED, "z": Fate.COMPLETE}
    assert restart.accounts()[0].moves == (MOVE,)


@pytest.mark.parametrize(
    ("after", "fate"),
    [
        (status(worker(0, boot="b"), worker(1), endings={"x": "recognition_failed"}), Fate.FAILED),
        (status(worker(0, boot="b"), worker(1)), Fate.UNKNOWN),
        (status(worker(0, boot="b"), worker(1), waiting=["x"]), Fate.WAITING),
        (status(worker(0, "x"), worker(1)), Fate.STAYED),
    ],
)
def test_a_restart_that_loses_a_session(after, fate):
    """A session that was ended, is nowhere, still waits or never left is not kept."""
    restart = Restart(status(worker(0, "x"), worker(1)), 0)
    restart.see(after)
    assert not restart.kept
    assert [account.fate for account in restart.accounts()] == [fate]
    assert fate not in KEPT


def test_back_on_the_new_worker():
    """A session that waited for the worker itself, as forced, is kept once the new life has it."""
    restart = Restart(status(worker(0, "x")), 0)
    restart.see(status(worker(0, boot="b"), waiting=["x"]))
    assert not restart.settled
    restart.see(status(worker(0, "x", boot="b")))
    assert (restart.settled, restart.kept, restart.back) == (True, True, True)


def test_moves_of_others_and_of_before_do_not_count():
    """Only new moves of the sessions that were on the worker are reported, each once."""
    old = Move("x", 1, 0, "balance", 20.0, 50.0)
    restart = Restart(status(worker(0, "x"), worker(1, "o"), moves=[old]), 0)
    other = Move("o", 1, 2, "balance", 9.0, 101.0)
    after = status(worker(0, state="lost"), worker(1, "x"), moves=[old, MOVE, other])
    assert restart.see(after) == [MOVE]
    assert restart.see(after) == []
