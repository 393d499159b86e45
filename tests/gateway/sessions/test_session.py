"""A session's way through its states; its audio is never lost, and its accounting adds up."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.sessions.audio_input.container import ContainerDetector
from gateway.sessions.commands import BecameReady, CloseConnection, Hinted, Migrated, ReleaseSlot, RequestSlot
from gateway.sessions.session import PARK_AFTER_S
from gateway.sessions.state import IllegalTransitionError, State
from shared import messages as m
from shared.errors import NoCapacityError, ServiceRestartError
from tests.gateway.builders import S, books, hypothesis, resume, word
from tests.gateway.sessions.harness import SessionHarness, pcm, sent_to_worker


def test_the_way_to_ready(session):
    """It asks for a slot, opens a stream with what the client asked for, and tells the client each of four steps."""
    assert (session.first_commands, session.state) == ([RequestSlot()], State.WAITING)
    assert sent_to_worker(session.on_lease(7, 2, 0.5)) == [m.Open(7, "x", "en", "transcribe", 0, None)]
    assert (session.state, session.lease, session.gpu_id) == (State.OPENING, 7, 2)
    assert session.on_opened(210.0, 1.0) == [BecameReady(210.0)]
    assert session.state is State.READY
    statuses = ["Connected", "Allocating GPU...", "Loading models on GPU 2...", "Ready to transcribe"]
    assert session.read_values("status", "message") == statuses


def test_audio_before_the_lease_is_replayed(session):
    """What came while there was no slot is sent in order, once, in messages of at most a second; a finalize too."""
    session.on_audio(pcm(100), 0.0)
    session.on_audio(pcm(S + 50, 2), 0.1)
    session.on_finalize(0.1)
    opening, *audio, finalize = sent_to_worker(session.on_lease(1, 0, 0.2))
    assert (type(opening), finalize) == (m.Open, m.Finalize(1, S + 150))
    assert b"".join(each.pcm for each in audio) == pcm(100) + pcm(S + 50, 2)
    assert audio[0].start == 0
    assert all(len(each.pcm) <= 2 * S for each in audio)
    assert sent_to_worker(session.on_audio(pcm(10, 3), 0.3)) == [m.Audio(1, S + 150, pcm(10, 3))]


@pytest.mark.parametrize("ends_first", [True, False], ids=["before the lease", "while the worker opens"])
def test_an_end_before_ready_is_kept(session, ends_first):
    """The worker is told as soon as there is one; the session goes straight to FINISHING."""
    session.on_audio(pcm(100), 0.0)
    messages = sent_to_worker(session.on_end_of_audio(0.0)) if ends_first else []
    messages += sent_to_worker(session.on_lease(1, 0, 0.0))
    messages += [] if ends_first else sent_to_worker(session.on_end_of_audio(0.0))
    assert [type(each) for each in messages] == [m.Open, m.Audio, m.Finish]
    assert messages[-1] == m.Finish(1, 100)
    assert session.state is State.OPENING
    session.on_opened(1.0, 0.0)
    assert session.state is State.FINISHING
    session.on_finished(m.Finished(1, books(100)))
    assert session.read()[-1]["audio"] == {
        "received": 100,
        "transcribed": 100,
        "silence": 0,
        "unclear": 0,
        "dropped": 0,
    }


def test_a_rejected_session_ends_with_the_reason(session):
    """After the two statuses of a waiting session comes the error, then the close."""
    commands = session.rejected(NoCapacityError("No GPU resources available", retry_after_s=5.0))
    assert commands == [CloseConnection(1013, "No GPU resources available")]
    *statuses, error = session.read()
    assert [each["message"] for each in statuses] == ["Connected", "Allocating GPU..."]
    assert (error["error"], error["code"], error["retry_after_s"]) == ("No GPU resources available", "no_capacity", 5.0)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(max_size=7), max_size=30), st.integers(0, 30))
def test_audio_may_be_cut_at_any_byte(pieces, opened_at):
    """However the client cuts its bytes, whole samples are sent in order, before the stream is opened and while it is."""
    assume(ContainerDetector().look(b"".join(pieces)) is None)  # what begins like a file is refused
    session, messages = SessionHarness(), []
    for number, piece in enumerate([*pieces, b""]):
        if number == min(opened_at, len(pieces)):
            messages += sent_to_worker(session.on_lease(1, 0, 0.0))[1:]
        messages += sent_to_worker(session.on_audio(piece, 0.0))
        session.check()
    whole = b"".join(pieces)
    whole = whole[: len(whole) // 2 * 2]
    assert b"".join(each.pcm for each in messages) == whole
    at = 0
    for each in messages:
        assert each.start == at
        at += len(each.pcm) // 2
    assert session.received == len(whole) // 2


@settings(max_examples=100, deadline=None)
@given(st.floats(35.0, 36.0), st.integers(-3, 3), st.integers(0, 200))
def test_a_session_is_backpressured_exactly_when_it_has_no_capacity(journal_s, beside, trimmed):
    """No client waits for room that never comes: the journal is full when not one more sample has room."""
    session = SessionHarness(journal_s=journal_s).make_ready()
    session.on_audio(pcm(int(journal_s * S) + beside), 0.0)
    session.on_hypothesis(hypothesis(keep_from=trimmed))
    assert session.backpressured == (session.capacity_bytes == 0)
    session.on_audio(bytes(session.capacity_bytes), 0.0)
    assert session.backpressured
    session.check()


def test_audio_after_the_end_is_ignored(session):
    """So is a second end."""
    session.make_ready()
    session.on_audio(pcm(10), 0.0)
    assert sent_to_worker(session.on_end_of_audio(0.0)) == [m.Finish(1, 10)]
    assert session.state is State.FINISHING
    assert session.on_audio(pcm(10), 0.0) == session.on_end_of_audio(0.0) == []
    assert session.received == 10


@pytest.mark.parametrize(("window_start", "again"), [(2 * S - 1, True), (2 * S, False)])
def test_a_finalize_is_repeated_to_the_next_worker(session, window_start, again):
    """Only if no window has begun at its position: it would cut that one short."""
    session.make_ready()
    session.on_audio(pcm(2 * S), 0.0)
    assert sent_to_worker(session.on_finalize(0.0)) == [m.Finalize(1, 2 * S)]
    session.on_hypothesis(hypothesis(resume=resume(0, window_start=window_start)))
    session.on_lost("died", 0.0, worker="gpu2")
    passed_on = [each for each in sent_to_worker(session.on_lease(2, 0, 0.0)) if isinstance(each, m.Finalize)]
    assert passed_on == ([m.Finalize(2, 2 * S)] if again else [])


def test_a_hypothesis_trims_the_journal_and_is_sent(session):
    """Words go to the client, audio before ``keep_from`` is dropped, and what is decoded lowers the lag."""
    session.make_ready()
    session.on_audio(pcm(3 * S), 0.0)
    session.read()
    session.on_hypothesis(
        hypothesis(word(" one", 0.5, 1.0), tail=" two", tail_end=2 * S, keep_from=S // 2, decoded=2 * S)
    )
    assert (session.checkpoint.journal.start, session.decoded, session.lag_s) == (S // 2, 2 * S, 1.0)
    assert session.text_updates == 1
    kinds = {message["type"]: message for message in session.read()}
    assert (kinds["partial"]["committed"], kinds["partial"]["tail"]) == ("one", " two")
    session.on_hypothesis(hypothesis(tail=" two", tail_end=2 * S, keep_from=S // 2, committed_until=S, decoded=3 * S))
    assert session.text_updates == 1


@pytest.mark.parametrize(
    "message",
    [
        hypothesis(keep_from=101),
        hypothesis(keep_from=0, resume=resume(1)),
        hypothesis(keep_from=50, resume=resume(40)),
        hypothesis(keep_from=50, resume=m.ResumeState(50, speaking=False, committed=(), draft=(), language=None, accounting=books(50, 20, 20))),
    ],
    ids=["audio not received", "resume state ahead", "resume state elsewhere", "accounting"],
)  # fmt: skip
def test_an_inconsistent_hypothesis_ends_the_session(session, message):
    """Impossible positions or accounting are an error; the session's own accounting still adds up."""
    session.make_ready()
    session.on_audio(pcm(100), 0.0)
    commands = session.on_hypothesis(message)
    assert commands == [ReleaseSlot(1, close=True), CloseConnection(1011, session.error.message)]
    assert (session.state, session.error.code, session.accounting.dropped) == (State.ENDED, "recognition_failed", 100)


def test_the_next_worker_may_report_less_committed(session):
    """What was committed before stays committed."""
    session.make_ready()
    session.on_audio(pcm(3 * S), 0.0)
    session.on_hypothesis(hypothesis(word(" one", 1.0, 2.0), keep_from=S))
    session.on_lost("died", 0.0, worker="gpu2")
    session.make_ready(2, 0)
    session.on_hypothesis(hypothesis(keep_from=S, committed_until=S, lease=2))
    assert (session.state, session.transcript.committed_until) == (State.READY, 2 * S)


def test_a_finished_session_accounts_for_every_sample(session):
    """The last final, then ``ready_to_stop`` with the accounting; the worker has freed the slot itself."""
    session.make_ready()
    session.on_audio(pcm(100), 0.0)
    session.on_end_of_audio(0.0)
    session.on_hypothesis(hypothesis(word(" one", 0, 0.001), keep_from=0))
    commands = session.on_finished(m.Finished(1, books(100, 60, 40)))
    assert commands == [ReleaseSlot(1, close=False), CloseConnection(1000, "", linger_s=5.0)]
    final, end = session.read()[-2:]
    assert (final["type"], final["text"]) == ("final", "one")
    assert end["audio"] == {"received": 100, "transcribed": 60, "silence": 40, "unclear": 0, "dropped": 0}
    assert session.accounting.reason is None


@pytest.mark.parametrize(
    ("ended", "wrong"), [(True, books(99)), (True, books(100, 100, 1)), (True, books(101)), (False, books(100))]
)
def test_accounting_that_does_not_add_up_is_an_error(session, ended, wrong):
    """If the worker lost samples, counted some twice, or finished unasked, the client gets no ``ready_to_stop``."""
    session.make_ready()
    session.on_audio(pcm(100), 0.0)
    if ended:
        session.on_end_of_audio(0.0)
    commands = session.on_finished(m.Finished(1, wrong))
    assert isinstance(commands[-1], CloseConnection)
    assert (session.error.code, session.accounting.dropped) == ("recognition_failed", 100)
    assert "ready_to_stop" not in [message["type"] for message in session.read()]


def test_after_a_loss_the_next_worker_gets_everything(session):
    """The resume state and the audio from there on; the client is told of the move."""
    session.make_ready()
    session.on_audio(pcm(2 * S), 0.0)
    state = resume(S, window_start=S + 160, committed=(m.CommittedToken(7, S + 1000),))
    session.on_hypothesis(hypothesis(word(" one", 0.5, 1.1), keep_from=S, resume=state))
    assert session.on_lost("silent", 3.0, worker="gpu2") == [RequestSlot(avoid="gpu2")]
    assert (session.state, session.lease) == (State.WAITING, None)
    assert session.on_audio(pcm(10, 3), 3.5) == []
    opening = sent_to_worker(session.on_lease(9, 1, 4.0))
    assert opening[0] == m.Open(9, "x", "en", "transcribe", S, state)
    assert b"".join(each.pcm for each in opening[1:]) == pcm(S) + pcm(10, 3)
    assert opening[1].start == S
    session.read()
    assert session.on_opened(1.0, 4.5) == [Migrated(1.5, 2, "worker_lost")]
    assert (session.read_values("moved", "gpu_id"), session.moves, session.gpu_id) == ([1], 1, 1)


def test_a_session_lost_while_finishing_finishes_elsewhere(session):
    """The next worker is told of the end of the audio, too."""
    session.make_ready()
    session.on_audio(pcm(100), 0.0)
    session.on_end_of_audio(0.0)
    session.on_lost("silent", 0.0, worker="gpu2")
    assert sent_to_worker(session.on_lease(2, 0, 0.0))[-1] == m.Finish(2, 100)
    session.on_opened(1.0, 0.0)
    assert session.state is State.FINISHING


def test_a_migration_has_no_gap_in_audio(session):
    """The new slot is prepared first; then the old one is released and the new one gets everything."""
    session.make_ready(1, 0)
    session.on_audio(pcm(100), 0.0)
    assert sent_to_worker(session.migrate(2, "drain", 0.0)) == [m.Prepare(2, "x")]
    assert sent_to_worker(session.on_audio(pcm(5, 2), 0.0)) == [m.Audio(1, 100, pcm(5, 2))]
    commands = session.on_prepared(3, 1.0)
    assert commands[0] == ReleaseSlot(1, close=True)
    assert sent_to_worker(commands)[0] == m.Open(2, "x", "en", "transcribe", 0, None)
    assert b"".join(each.pcm for each in sent_to_worker(commands)[1:]) == pcm(100) + pcm(5, 2)
    assert session.on_opened(1.0, 1.25) == [Migrated(0.25, 0, "drain")]


def test_a_lost_migration_lease_leaves_the_session_where_it_is(session):
    """If its own lease is lost as well, it asks for another slot."""
    session.make_ready(1, 0)
    session.migrate(2, "balance", 0.0)
    assert session.on_migration_lost() == []
    assert session.state is State.READY
    session.migrate(3, "balance", 0.0)
    assert session.on_lost("silent", 0.0, worker="gpu0") == []
    session.check()
    assert session.on_migration_lost() == [RequestSlot()]


def test_a_disconnect_releases_every_slot(session):
    """Its own and one prepared for a migration, at once; what was not decoded is dropped, with the reason."""
    session.make_ready()
    session.on_audio(pcm(100), 0.0)
    session.on_hypothesis(hypothesis(keep_from=40))
    session.migrate(2, "drain", 0.0)
    assert session.on_disconnected() == [ReleaseSlot(1, close=True), ReleaseSlot(2, close=True)]
    accounting = session.accounting
    assert (accounting.transcribed, accounting.dropped, accounting.reason) == (40, 60, "client_left")
    assert session.on_disconnected() == []


def test_a_detached_session_is_parked_and_resumed(session):
    """Its slot is released once all its audio is decoded; a client that resumes sends on from what has arrived."""
    session.make_ready()
    session.on_audio(pcm(100) + b"\1", 0.0)
    assert session.on_detached(1.0) == []
    assert session.on_hypothesis(hypothesis(decoded=50), 1.5) == []
    assert session.on_hypothesis(hypothesis(decoded=100), 2.0) == [ReleaseSlot(1, close=True)]
    assert (session.state, session.lease) == (State.PARKED, None)
    session.check()
    assert session.on_resumed(3.0) == [RequestSlot()]
    session.on_audio(pcm(2, 9), 3.0)
    opening = sent_to_worker(session.on_lease(2, 0, 3.0))
    assert b"".join(each.pcm for each in opening[1:]) == pcm(100) + pcm(2, 9)
    assert session.on_opened(1.0, 3.5) == [Migrated(0.5, 2, "resume")]


def test_a_session_resumed_soon_keeps_its_slot(session):
    """The slot is not released while there is audio to decode."""
    session.make_ready()
    session.on_audio(pcm(100), 0.0)
    session.on_detached(1.0)
    assert session.on_resumed(1.5) == []
    assert session.on_hypothesis(hypothesis(decoded=100), 2.0) == []
    assert (session.state, session.lease) == (State.READY, 1)


def test_a_resumed_client_starts_with_a_whole_sample(session):
    """Half a sample of the former socket is dropped, even if that socket was never seen to break."""
    session.make_ready()
    session.on_audio(pcm(100) + b"x", 0.0)
    session.on_resumed(1.0)
    (sent,) = sent_to_worker(session.on_audio(pcm(1, value=7), 1.5))
    assert (sent.start, sent.pcm) == (100, pcm(1, value=7))


def test_a_client_that_was_away_is_told_the_end(session):
    """A session that ended meanwhile sends its last messages again."""
    session.make_ready()
    session.on_end_of_audio(0.0)
    session.on_detached(0.0)
    session.on_finished(m.Finished(1, books(0)))
    session.read()
    assert session.farewell() == [CloseConnection(1000, "", linger_s=5.0)]
    (audio,) = session.read_values("ready_to_stop", "audio")
    assert audio == {"received": 0, "transcribed": 0, "silence": 0, "unclear": 0, "dropped": 0}


def test_a_drained_session_is_flushed(session):
    """Its last words are sent, then that the service restarts; without a worker there is nothing to flush."""
    restarting, closed = ServiceRestartError("The service restarts", retry_after_s=5.0), "The service restarts"
    assert SessionHarness().drain(restarting, 0.0) == [CloseConnection(1012, closed)]
    session.make_ready()
    session.on_audio(pcm(100), 0.0)
    assert sent_to_worker(session.drain(restarting, 0.0)) == [m.Finish(1, 100)]
    session.on_hypothesis(hypothesis(word(" one", 0, 0.005)))
    commands = session.on_finished(m.Finished(1, books(100)))
    assert commands == [ReleaseSlot(1, close=False), CloseConnection(1012, closed)]
    final, error = session.read()[-2:]
    assert (final["text"], error["error"], error["retry_after_s"]) == ("one", closed, 5.0)
    assert (session.accounting.transcribed, session.accounting.dropped) == (100, 0)


def test_an_ended_session_ignores_everything(session):
    """No event after the end leads to a command."""
    session.make_ready()
    session.on_disconnected()
    assert session.on_audio(pcm(10), 1.0) == session.on_end_of_audio(1.0) == session.on_finalize(1.0) == []
    assert session.on_time(1e9) == session.stop(NoCapacityError("x")) == session.on_lost("x", 1.0, worker="gpu0") == []
    assert session.on_opened(1.0, 1.0) == session.on_detached(1.0) == []


def test_an_illegal_transition_raises():
    """Getting a lease is an error while the session has one that opens, while it is parked, and after its end."""
    opening, parked, ended = SessionHarness(), SessionHarness().make_ready(), SessionHarness()
    opening.on_lease(1, 0, 0.0)
    parked.on_detached(0.0)
    parked.on_time(PARK_AFTER_S)
    ended.on_disconnected()
    for session, state in ((opening, State.OPENING), (parked, State.PARKED), (ended, State.ENDED)):
        with pytest.raises(IllegalTransitionError, match=f"cannot go from {state} to {State.OPENING}"):
            session.on_lease(2, 0, 1.0)
        assert session.state is state


def test_a_hint_is_sent_once_a_code():
    """A hint reaches the client and the log once a session for each code, and the session goes on."""
    session = SessionHarness().make_ready()
    assert session.hint("sample_rate", "One.") == [Hinted("sample_rate", "One.")]
    assert session.hint("sample_rate", "Two.") == []
    assert session.hint("other", "Three.") == [Hinted("other", "Three.")]
    assert session.read_values("hint", "message") == ["One.", "Three."]
    assert session.state is State.READY
