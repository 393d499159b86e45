"""When a session is held to be the cause of its workers' deaths."""

import pytest

from gateway.sessions.commands import CloseConnection, RequestSlot
from gateway.sessions.poison import MAX_DEATHS, MAX_LOSSES
from gateway.sessions.session import POISON_RESET_S
from tests.gateway.builders import hypothesis
from tests.gateway.sessions.harness import SessionHarness, pcm

MANY = range(1, 3 * MAX_DEATHS)
"""Leases that are more than a suspected session gets."""


def lose(session, lease, *, decoded=None, worker="gpu2", **values) -> list:
    """Open the session on a lease, let the worker decode, and lose the lease; return the session's commands."""
    session.make_ready(lease)
    if decoded is not None:
        session.on_hypothesis(hypothesis(lease=lease, decoded=decoded))
    return session.on_lost("silent", 0.0, worker=worker, **values)


@pytest.fixture
def session():
    """Give a session with 100 samples that are not decoded."""
    session = SessionHarness()
    session.on_audio(pcm(100), 0.0)
    yield session
    session.check()


def test_three_deaths_over_the_same_audio_end_the_session(session):
    """It is ended before it has killed every worker; new audio and a little progress make no difference."""
    for lease in range(1, MAX_DEATHS):
        assert lose(session, lease, decoded=30 * lease) == [RequestSlot(avoid="gpu2")]
        session.on_audio(pcm(100), 0.0)
    assert session.poison.on_last_chance
    assert lose(session, MAX_DEATHS) == [CloseConnection(1011, session.error.message)]
    assert "3 times" in session.error.message
    assert session.accounting.dropped == 300


def test_deaths_over_ever_new_audio_are_forgiven(session):
    """A session that gets past the audio of earlier deaths is not their cause."""
    for lease in MANY:
        assert lose(session, lease, decoded=100 * lease - 50) == [RequestSlot(avoid="gpu2")]
        session.on_audio(pcm(100), 0.0)
    assert session.poison.suspected


def test_a_long_lease_forgives_earlier_deaths(session):
    """A lease that has lasted long clears the session though it sends nothing more."""
    for lease in MANY:
        session.make_ready(lease, now=lease * 100.0)
        assert session.on_lost("silent", lease * 100.0 + POISON_RESET_S, worker="gpu2") == [RequestSlot(avoid="gpu2")]


@pytest.mark.parametrize("values", [{"decoded": 100}, {"blame": False}], ids=["all is decoded", "not to blame"])
def test_some_losses_are_not_held_against_the_session(session, values):
    """One with nothing to decode cannot have been the cause, nor can it of a worker that was full or said goodbye."""
    for lease in MANY:
        assert lose(session, lease, **values) == [RequestSlot(avoid="gpu2")]
    assert not session.poison.suspected


def test_a_session_that_was_not_open_is_not_the_cause(session):
    """When all workers die at once, the session goes from one to the next: only the first had opened it."""
    session.make_ready(1)
    for lease in range(2, 2 * MAX_DEATHS):
        assert session.on_lost("silent", 0.0, worker="gpu2") == [RequestSlot(avoid="gpu2")]
        session.on_lease(lease, 0, 0.0)
    assert not session.poison.on_last_chance


def test_silent_workers_count_less_than_dead_ones(session):
    """A silent worker may only be slow: it takes more of them to end the session."""
    for lease in range(1, MAX_LOSSES):
        assert lose(session, lease, worker=f"gpu{lease}", died=False) == [RequestSlot(avoid=f"gpu{lease}")]
    assert session.poison.on_last_chance
    assert lose(session, MAX_LOSSES, died=False) == [CloseConnection(1011, session.error.message)]


def test_a_worker_that_speaks_again_is_retracted(session):
    """It is no longer held against the session; another's death still is."""
    for lease in MANY:
        lose(session, lease, died=False)
        session.poison.retract("gpu2")
    assert (session.poison.suspected, session.poison.workers) == (False, frozenset())
    lose(session, MANY.stop, worker="gpu1")
    session.poison.retract("gpu2")
    assert session.poison.workers == {"gpu1"}
