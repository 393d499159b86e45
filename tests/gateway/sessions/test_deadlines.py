"""How long a session waits, for its client and for its worker."""

from gateway.sessions.commands import CloseConnection, ReleaseSlot, SendToWorker
from gateway.sessions.state import State
from shared import messages as m
from tests.gateway.builders import S, hypothesis, word
from tests.gateway.sessions.harness import SessionHarness, pcm, sent_to_worker


def error_of(session) -> tuple[str, int]:
    session.check()
    return session.error.code, session.error.close_code


def test_an_idle_client_ends_the_session():
    """Any message counts as activity, a keepalive too; what was said becomes final first."""
    session = SessionHarness(idle_timeout_s=60.0).make_ready()
    session.on_audio(pcm(100), 10.0)
    assert session.on_time(12.0) == [SendToWorker(m.Finalize(1, 100, paused=True))]
    assert session.on_time(69.9) == []
    session.on_keepalive(69.9)
    assert session.on_time(129.8) == []
    assert session.on_time(129.9) == [SendToWorker(m.Finish(1, 100))]
    closed = CloseConnection(4408, "Nothing was received for 60 s")
    finished = m.Finished(1, m.AudioAccounting(100, 100, 0))
    assert session.on_finished(finished) == [ReleaseSlot(1, close=False), closed]
    assert error_of(session) == ("session_limit", 4408)
    assert session.read()[-1]["received"] == 100


def test_an_idle_session_without_a_slot_ends_at_once():
    """There is nothing to flush."""
    session = SessionHarness(idle_timeout_s=60.0)
    assert session.on_time(60.0) == [CloseConnection(4408, "Nothing was received for 60 s")]
    assert session.read()[-1]["received"] == 0


def test_a_session_has_a_maximum_length():
    """It ends at the limit, however active it is."""
    session = SessionHarness(max_session_s=100.0).make_ready()
    session.on_audio(pcm(1), 99.9)
    assert session.on_time(99.9) == []
    assert session.on_time(100.0) == [SendToWorker(m.Finish(1, 1))]
    assert session.on_audio(pcm(10), 100.0) == session.on_time(100.1) == []
    ending = session.on_finished(m.Finished(1, m.AudioAccounting(1, 0, 1)))
    assert ending[-1] == CloseConnection(4408, "The session reached its limit of 100 s")
    assert session.read()[-1]["received"] == 1


def test_a_flush_at_the_limit_is_bounded_too():
    """A worker that does not come to an end keeps nobody waiting for longer than any flush."""
    session = SessionHarness(max_session_s=100.0, finish_wait_s=30.0).make_ready()
    session.on_audio(pcm(1), 99.9)
    session.on_time(100.0)
    assert session.on_time(129.9) == []
    session.on_time(130.0)
    assert error_of(session) == ("recognition_failed", 1011)


def test_a_session_on_the_way_to_another_worker_is_flushed_there():
    """Its limit comes while it has no slot: the next worker gets the end of its audio."""
    session = SessionHarness(max_session_s=100.0).make_ready()
    session.on_audio(pcm(S), 99.0)
    session.on_lost("died", 99.5, worker="gpu2")
    assert session.on_time(100.0) == []
    assert m.Finish(2, S) in sent_to_worker(session.on_lease(2, 0, 100.5))


def test_a_journal_full_for_too_long_ends_the_session():
    """The limit counts from when the journal was last full without interruption."""
    session = SessionHarness(journal_s=40.0, stall_limit_s=60.0, idle_timeout_s=5.0).make_ready()
    session.on_audio(pcm(40 * S), 0.0)
    assert session.backpressured
    assert session.capacity_bytes == 0
    assert session.on_time(0.0) == []
    assert session.on_time(59.0) == []
    session.on_hypothesis(hypothesis(keep_from=S))
    assert session.capacity_bytes == 2 * S
    # Held back, the client could not send: that time is not its silence.
    assert session.on_time(59.1) == []
    session.on_audio(pcm(S), 60.0)
    assert session.on_time(60.0) == []
    assert session.on_time(119.9) == []
    assert session.on_time(120.0) != []
    assert error_of(session) == ("overloaded", 1013)
    assert session.accounting.dropped == 40 * S


def test_a_new_session_waits_for_the_first_worker():
    """When none has registered within the limit, it ends with the time after which to try again."""
    session = SessionHarness(start_wait_s=60.0)
    assert session.on_time(59.9) == []
    assert session.on_time(60.0) == [CloseConnection(1013, "No GPU resources available")]
    assert session.read()[-1]["retry_after_s"] > 0
    assert error_of(session) == ("no_capacity", 1013)


def test_a_session_that_lost_its_worker_waits_for_another():
    """When none is free within the limit, the error says how far the audio is transcribed."""
    session = SessionHarness(line_wait_s=60.0).make_ready()
    session.on_audio(pcm(2 * S), 0.0)
    session.on_hypothesis(hypothesis(word(" one", 0.5, 1.5)))
    session.on_lost("silent", 10.0, worker="gpu2")
    session.on_keepalive(60.0)
    assert session.on_time(69.9) == []
    assert session.on_time(70.0) != []
    assert error_of(session) == ("no_capacity", 1013)
    assert "1.5 s are transcribed" in session.error.message


def test_a_lease_that_is_not_opened_is_overdue():
    """So is one that is not prepared for a migration."""
    session = SessionHarness(open_wait_s=120.0)
    session.on_lease(1, 0, 5.0)
    assert (session.overdue_lease(124.9), session.overdue_lease(125.0)) == (None, 1)
    assert session.on_time(125.0) == []
    session.on_opened(1.0, 130.0)
    assert session.overdue_lease(1000.0) is None
    session.migrate(2, "drain", 1000.0)
    assert (session.overdue_lease(1119.9), session.overdue_lease(1120.0)) == (None, 2)


def test_a_flush_that_takes_too_long_ends_the_session():
    """The limit counts from the end of the audio."""
    session = SessionHarness(finish_wait_s=120.0, idle_timeout_s=1.0).make_ready()
    session.on_end_of_audio(5.0)
    assert session.on_time(124.9) == []
    assert session.on_time(125.0)[0] == ReleaseSlot(1, close=True)
    assert error_of(session) == ("recognition_failed", 1011)


def test_a_detached_session_ends_after_the_grace():
    """Until then it is parked, without a slot."""
    session = SessionHarness(resume_grace_s=30.0).make_ready()
    session.on_detached(1.0)
    assert session.on_time(30.9) == [ReleaseSlot(1, close=True)]
    assert session.state is State.PARKED
    assert session.on_time(31.0) == []
    assert session.state is State.ENDED
    session.check()
