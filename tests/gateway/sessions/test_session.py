"""A session: every state and bound, audio that is never lost, and books that add up."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols.asr_events import EventsProtocol
from gateway.sessions.commands import BecameReady, CloseConnection, Migrated, ReleaseSlot, RequestSlot, SendToWorker
from gateway.sessions.poison import MAX_DEATHS, MAX_LOSSES
from gateway.sessions.send_queue import SendQueue
from gateway.sessions.session import POISON_RESET_S, Session
from gateway.sessions.state import State
from gateway.sessions.transcript import Transcript
from shared import messages as m
from shared.errors import NoCapacityError, ServiceRestartError
from tests.gateway.builders import S, books, bounds, hypothesis, resume, word


class Talk:
    """A session with a client that reads everything."""

    def __init__(self, *, journal_s=60.0, **limits) -> None:
        transcript, self.outbox = Transcript(), SendQueue(EventsProtocol.encode)
        self.session = Session(
            "x",
            presenter=EventsProtocol(transcript, self.outbox),
            transcript=transcript,
            language="en",
            task="transcribe",
            now=0.0,
            limits=bounds(journal_s=journal_s, **limits),
        )

    def __getattr__(self, name):
        return getattr(self.session, name)

    def read(self) -> list[dict]:
        """Return what the client has been sent since the last call."""
        messages, now = [], 0.0
        while (text := self.outbox.pop(now)) is not None:
            messages.append(json.loads(text))
            now += 1000.0
        return messages

    def said(self, kind="status", key="message") -> list:
        return [message[key] for message in self.read() if message["type"] == kind]

    def open(self, lease=1, gpu_id=2, now=0.0) -> "Talk":
        """Bring the session to READY on a worker."""
        self.session.on_lease(lease, gpu_id, now)
        self.session.on_opened(5.0, now)
        return self

    def hear(self, message, now=0.0):
        return self.session.on_hypothesis(message, now)


@pytest.fixture
def talk():
    """Give a session that has greeted its client, and check it at the end."""
    talk = Talk()
    talk.start()
    yield talk
    talk.check()


def told(actions) -> list:
    return [action.message for action in actions if isinstance(action, SendToWorker)]


def pcm(samples, value=1) -> bytes:
    return value.to_bytes(2, "little") * samples


def test_the_way_to_ready(talk):
    """Connected, allocating, loading on a GPU, ready: four statuses in order, whatever the worker had loaded."""
    assert talk.state is State.WAITING
    talk.on_lease(7, 2, 0.5)
    assert (talk.state, talk.lease, talk.gpu_id) == (State.OPENING, 7, 2)
    assert talk.on_opened(210.0, 1.0) == [BecameReady(210.0)]
    assert talk.state is State.READY
    assert talk.said() == ["Connected", "Allocating GPU...", "Loading models on GPU 2...", "Ready to transcribe"]


def test_it_asks_for_a_slot_at_once():
    """The first thing that a new session wants is a lease."""
    assert Talk().start() == [RequestSlot()]


def test_the_worker_is_told_what_was_asked(talk):
    """The stream is opened with the session's language and task, from its first sample."""
    assert told(talk.on_lease(7, 2, 0.0)) == [m.Open(7, "x", "en", "transcribe", 0, None)]


def test_audio_before_the_lease_is_replayed(talk):
    """What was said while there was no slot is brought to the worker in order, and nothing twice."""
    talk.on_audio(pcm(100), 0.0)
    talk.on_audio(pcm(S + 50, 2), 0.1)
    opening = told(talk.on_lease(1, 0, 0.2))
    assert isinstance(opening[0], m.Open)
    assert b"".join(each.pcm for each in opening[1:]) == pcm(100) + pcm(S + 50, 2)
    assert opening[1].start == 0
    assert all(len(each.pcm) <= 2 * S for each in opening[1:])
    assert told(talk.on_audio(pcm(10, 3), 0.3)) == [m.Audio(1, S + 150, pcm(10, 3))]


def test_audio_while_the_worker_prepares_goes_there(talk):
    """With a lease audio is sent on even before the worker has said that it is ready."""
    talk.on_lease(1, 0, 0.0)
    assert told(talk.on_audio(pcm(5), 0.0)) == [m.Audio(1, 0, pcm(5))]


def test_the_end_before_ready_is_kept(talk):
    """A client that has said everything before a slot was found is transcribed all the same."""
    talk.on_audio(pcm(100), 0.0)
    assert talk.on_end_of_audio(0.0) == []
    assert told(talk.on_lease(1, 0, 0.0))[-1] == m.Finish(1, 100)
    talk.on_opened(1.0, 0.0)
    assert talk.state is State.FINISHING
    talk.on_finished(m.Finished(1, books(100)))
    assert talk.read()[-1]["audio"] == {"received": 100, "transcribed": 100, "silence": 0, "dropped": 0}


def test_the_end_while_the_worker_prepares(talk):
    """An end that comes between grant and ready is told at once and leads to FINISHING."""
    talk.on_lease(1, 0, 0.0)
    assert told(talk.on_end_of_audio(0.0)) == [m.Finish(1, 0)]
    assert talk.state is State.OPENING
    talk.on_opened(1.0, 0.0)
    assert talk.state is State.FINISHING


def test_a_finalize_before_the_lease_is_kept(talk):
    """Asking for what is there to be committed is not lost either."""
    talk.on_audio(pcm(100), 0.0)
    talk.on_finalize(0.0)
    assert told(talk.on_lease(1, 0, 0.0))[-1] == m.Finalize(1, 100)


def test_no_slot_ends_it_with_words(talk):
    """A refused client has heard that it is connected and that a GPU is sought, then why not."""
    actions = talk.rejected(NoCapacityError("No GPU resources available", retry_after_s=5.0))
    assert actions == [CloseConnection(1013, "No GPU resources available")]
    *statuses, error = talk.read()
    assert [each["message"] for each in statuses] == ["Connected", "Allocating GPU..."]
    assert (error["error"], error["code"], error["retry_after_s"]) == ("No GPU resources available", "no_capacity", 5.0)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(max_size=7), max_size=30), st.integers(0, 30))
def test_bytes_may_be_cut_anywhere(pieces, opened_at):
    """However the client cuts its bytes, whole samples arrive in order, and a sample is never torn."""
    talk, messages = Talk(), []
    talk.start()
    for number, piece in enumerate([*pieces, b""]):
        if number == min(opened_at, len(pieces)):
            messages += told(talk.on_lease(1, 0, 0.0))[1:]
        messages += told(talk.on_audio(piece, 0.0))
        talk.check()
    whole = b"".join(pieces)
    whole = whole[: len(whole) // 2 * 2]
    assert b"".join(each.pcm for each in messages) == whole
    at = 0
    for each in messages:
        assert each.start == at
        at += len(each.pcm) // 2
    assert talk.received == len(whole) // 2


@settings(max_examples=100, deadline=None)
@given(st.floats(35.0, 36.0), st.integers(-3, 3), st.integers(0, 200))
def test_full_and_room_are_one_thing(journal_s, beside, trimmed):
    """A journal is full exactly when not one more sample has room: no client waits for room that never comes."""
    talk = Talk(journal_s=journal_s)
    talk.start()
    talk.open()
    talk.on_audio(pcm(int(journal_s * S) + beside), 0.0)
    talk.hear(hypothesis(keep_from=trimmed))
    assert talk.backpressured == (talk.capacity_bytes == 0)
    talk.on_audio(bytes(talk.capacity_bytes), 0.0)
    assert talk.backpressured
    talk.check()


def test_nothing_counts_after_the_end(talk):
    """Audio after the end marker belongs to no session; the end comes once."""
    talk.open()
    talk.on_audio(pcm(10), 0.0)
    assert told(talk.on_end_of_audio(0.0)) == [m.Finish(1, 10)]
    assert talk.state is State.FINISHING
    assert talk.on_audio(pcm(10), 0.0) == talk.on_end_of_audio(0.0) == []
    assert talk.received == 10


@pytest.mark.parametrize(("window_start", "again"), [(2 * S - 1, True), (2 * S, False)])
def test_a_finalize_is_passed_on_once(talk, window_start, again):
    """The worker is told up to where; its successor only if no window has begun there: it would cut that one short."""
    talk.open()
    talk.on_audio(pcm(2 * S), 0.0)
    assert told(talk.on_finalize(0.0)) == [m.Finalize(1, 2 * S)]
    talk.hear(hypothesis(resume=resume(0, window_start=window_start)))
    talk.on_lost("died", 0.0, worker="gpu2")
    passed_on = [each for each in told(talk.on_lease(2, 0, 0.0)) if isinstance(each, m.Finalize)]
    assert passed_on == ([m.Finalize(2, 2 * S)] if again else [])


def test_a_hypothesis_trims_and_tells(talk):
    """Words go to the client, audio before ``keep_from`` is forgotten, what is decoded lowers the lag."""
    talk.open()
    talk.on_audio(pcm(3 * S), 0.0)
    talk.read()
    talk.hear(hypothesis(word(" one", 0.5, 1.0), tail=" two", tail_end=2 * S, keep_from=S // 2, decoded=2 * S))
    assert (talk.checkpoint.journal.start, talk.decoded, talk.lag_s, talk.text_updates) == (S // 2, 2 * S, 1.0, 1)
    kinds = {message["type"]: message for message in talk.read()}
    assert (kinds["partial"]["committed"], kinds["partial"]["tail"]) == ("one", " two")
    talk.hear(hypothesis(tail=" two", tail_end=2 * S, keep_from=S // 2, committed_until=S, decoded=3 * S))
    assert talk.text_updates == 1


@pytest.mark.parametrize(
    "message",
    [
        hypothesis(keep_from=101),
        hypothesis(keep_from=0, resume=resume(1)),
        hypothesis(keep_from=50, resume=resume(40)),
        hypothesis(keep_from=50, resume=m.ResumeState(50, speaking=False, committed=(), draft=(), language=None, books=books(50, 20, 20))),
    ],
    ids=["audio that has not come", "resume state ahead", "resume state elsewhere", "books that do not add up"],
)  # fmt: skip
def test_a_worker_that_contradicts_itself_is_not_believed(talk, message):
    """Positions and books that cannot be end the session with an error; its own books still add up."""
    talk.open()
    talk.on_audio(pcm(100), 0.0)
    actions = talk.hear(message)
    assert actions == [ReleaseSlot(1, close=True), CloseConnection(1011, talk.error.message)]
    assert (talk.state, talk.error.code, talk.accounting.dropped) == (State.ENDED, "recognition_failed", 100)


def test_a_successor_may_know_less_of_what_is_committed(talk):
    """After a move a worker may report an earlier end of the committed words; nothing is taken back."""
    talk.open()
    talk.on_audio(pcm(3 * S), 0.0)
    talk.hear(hypothesis(word(" one", 1.0, 2.0), keep_from=S))
    talk.on_lost("died", 0.0, worker="gpu2")
    talk.open(2, 0)
    talk.hear(hypothesis(keep_from=S, committed_until=S, lease=2))
    assert (talk.state, talk.transcript.committed_until) == (State.READY, 2 * S)


def test_finished_closes_the_books(talk):
    """Everything said, then ``ready_to_stop`` with every sample accounted for; the worker has freed the slot itself."""
    talk.open()
    talk.on_audio(pcm(100), 0.0)
    talk.on_end_of_audio(0.0)
    talk.hear(hypothesis(word(" one", 0, 0.001), keep_from=0))
    actions = talk.on_finished(m.Finished(1, books(100, 60, 40)))
    assert actions == [ReleaseSlot(1, close=False), CloseConnection(1000, "", linger_s=5.0)]
    final, end = talk.read()[-2:]
    assert (final["type"], final["text"]) == ("final", "one")
    assert end["audio"] == {"received": 100, "transcribed": 60, "silence": 40, "dropped": 0}
    assert talk.accounting.reason is None


@pytest.mark.parametrize(
    ("ended", "wrong"), [(True, books(99)), (True, books(100, 100, 1)), (True, books(101)), (False, books(100))]
)
def test_books_that_do_not_add_up_are_an_error(talk, ended, wrong):
    """A worker that lost samples, counted some twice, or finished unasked, does not get ``ready_to_stop`` said."""
    talk.open()
    talk.on_audio(pcm(100), 0.0)
    if ended:
        talk.on_end_of_audio(0.0)
    actions = talk.on_finished(m.Finished(1, wrong))
    assert isinstance(actions[-1], CloseConnection)
    assert (talk.error.code, talk.accounting.dropped) == ("recognition_failed", 100)
    assert "ready_to_stop" not in [message["type"] for message in talk.read()]


def test_a_loss_is_a_new_lease_with_everything_known(talk):
    """The next worker gets the resume state and the journal from there; the client sees a status, words go on."""
    talk.open()
    talk.on_audio(pcm(2 * S), 0.0)
    state = resume(S, window_start=S + 160, committed=(m.CommittedToken(7, S + 1000),))
    talk.hear(hypothesis(word(" one", 0.5, 1.1), keep_from=S, resume=state))
    assert talk.on_lost("silent", 3.0, worker="gpu2") == [RequestSlot(avoid="gpu2")]
    assert (talk.state, talk.lease) == (State.WAITING, None)
    assert talk.on_audio(pcm(10, 3), 3.5) == []
    opening = told(talk.on_lease(9, 1, 4.0))
    assert opening[0] == m.Open(9, "x", "en", "transcribe", S, state)
    assert b"".join(each.pcm for each in opening[1:]) == pcm(S) + pcm(10, 3)
    assert opening[1].start == S
    talk.read()
    assert talk.on_opened(1.0, 4.5) == [Migrated(1.5, 2, "worker_lost")]
    assert (talk.said("moved", "gpu_id"), talk.moves, talk.gpu_id) == ([1], 1, 1)


def test_a_loss_while_finishing_finishes_elsewhere(talk):
    """The end of the audio is told to the next worker too."""
    talk.open()
    talk.on_audio(pcm(100), 0.0)
    talk.on_end_of_audio(0.0)
    talk.on_lost("silent", 0.0, worker="gpu2")
    assert told(talk.on_lease(2, 0, 0.0))[-1] == m.Finish(2, 100)
    talk.on_opened(1.0, 0.0)
    assert talk.state is State.FINISHING


def test_three_deaths_without_progress_end_it(talk):
    """A session that kills whatever it is put on is ended before it has killed all workers."""
    talk.on_audio(pcm(100), 0.0)
    for lease in range(1, MAX_DEATHS):
        talk.open(lease)
        assert talk.on_lost("silent", 0.0, worker="gpu2") == [RequestSlot(avoid="gpu2")]
    talk.open(MAX_DEATHS)
    assert talk.poison.on_last_chance
    actions = talk.on_lost("silent", 0.0, worker="gpu2")
    assert actions == [CloseConnection(1011, talk.error.message)]
    assert "3 times" in talk.error.message
    assert talk.accounting.dropped == 100


def test_progress_forgives(talk):
    """Deaths over ever new audio are the machine's, not the session's: it lives on."""
    for lease in range(1, 3 * MAX_DEATHS):
        talk.on_audio(pcm(100), 0.0)
        talk.open(lease)
        talk.hear(hypothesis(lease=lease, decoded=100 * lease - 50))
        assert talk.on_lost("silent", 0.0, worker="gpu2") == [RequestSlot(avoid="gpu2")]
    assert talk.poison.suspected


def test_a_little_progress_does_not_forgive(talk):
    """Each life may come a little nearer to the audio that kills: only getting past what was there clears it."""
    talk.on_audio(pcm(100), 0.0)
    for lease in range(1, MAX_DEATHS):
        talk.open(lease)
        talk.hear(hypothesis(lease=lease, decoded=30 * lease))
        assert talk.on_lost("silent", 0.0, worker="gpu2") == [RequestSlot(avoid="gpu2")]
        talk.on_audio(pcm(100), 0.0)
    talk.open(MAX_DEATHS)
    assert talk.on_lost("silent", 0.0, worker="gpu2") == [CloseConnection(1011, talk.error.message)]


def test_a_long_life_forgives(talk):
    """A lease that has held for long clears a session that says nothing more of earlier deaths."""
    talk.on_audio(pcm(100), 0.0)
    for lease in range(1, 3 * MAX_DEATHS):
        talk.open(lease, now=lease * 100.0)
        assert talk.on_lost("silent", lease * 100.0 + POISON_RESET_S, worker="gpu2") == [RequestSlot(avoid="gpu2")]


def test_who_waits_in_silence_is_not_to_blame(talk):
    """A worker that dies while everything of the session's is decoded has not died of it."""
    talk.on_audio(pcm(100), 0.0)
    for lease in range(1, 3 * MAX_DEATHS):
        talk.open(lease)
        talk.hear(hypothesis(lease=lease, decoded=100))
        assert talk.on_lost("silent", 0.0, worker="gpu2") == [RequestSlot(avoid="gpu2")]
    assert not talk.poison.suspected


def test_who_was_not_open_is_not_to_blame(talk):
    """When all workers die at once, a session passes from one dead one to the next: only the first had opened it."""
    talk.on_audio(pcm(100), 0.0)
    talk.open(1)
    for lease in range(2, 2 * MAX_DEATHS):
        assert talk.on_lost("silent", 0.0, worker="gpu2") == [RequestSlot(avoid="gpu2")]
        talk.on_lease(lease, 0, 0.0)
    assert not talk.poison.on_last_chance


def test_silences_weigh_less_than_deaths(talk):
    """Workers that are silent, but may only be slow, end the session later than workers that are dead; but they do."""
    talk.on_audio(pcm(100), 0.0)
    for lease in range(1, MAX_LOSSES):
        talk.open(lease)
        assert talk.on_lost("silent", 0.0, worker=f"gpu{lease}", died=False) == [RequestSlot(avoid=f"gpu{lease}")]
    assert talk.poison.on_last_chance
    talk.open(MAX_LOSSES)
    assert talk.on_lost("silent", 0.0, worker="gpu0", died=False) == [CloseConnection(1011, talk.error.message)]


def test_who_is_pardoned_has_not_died(talk):
    """A worker that was taken for dead and lives is not held against the session; another's death still is."""
    talk.on_audio(pcm(100), 0.0)
    for lease in range(1, 3 * MAX_DEATHS):
        talk.open(lease)
        talk.on_lost("silent", 0.0, worker="gpu2", died=False)
        talk.poison.retract("gpu2")
    assert (talk.poison.suspected, talk.poison.workers) == (False, frozenset())
    talk.open(3 * MAX_DEATHS)
    talk.on_lost("silent", 0.0, worker="gpu1")
    talk.poison.retract("gpu2")
    assert talk.poison.workers == {"gpu1"}


def test_a_full_worker_is_no_death(talk):
    """A worker that had no slot after all is not held against the session."""
    for lease in range(1, 3 * MAX_DEATHS):
        talk.on_lease(lease, 0, 0.0)
        assert talk.on_lost("full", 0.0, worker="gpu0", blame=False) == [RequestSlot(avoid="gpu0")]
    assert not talk.poison.suspected


def test_moving_on_purpose_has_no_gap_in_audio(talk):
    """The slot elsewhere is made ready first; then the old one is given back and the new one gets everything."""
    talk.open(1, 0)
    talk.on_audio(pcm(100), 0.0)
    assert told(talk.migrate(2, "drain", 0.0)) == [m.Prepare(2, "x")]
    assert told(talk.on_audio(pcm(5, 2), 0.0)) == [m.Audio(1, 100, pcm(5, 2))]
    actions = talk.on_prepared(3, 1.0)
    assert actions[0] == ReleaseSlot(1, close=True)
    assert told(actions)[0] == m.Open(2, "x", "en", "transcribe", 0, None)
    assert b"".join(each.pcm for each in told(actions)[1:]) == pcm(100) + pcm(5, 2)
    assert talk.on_opened(1.0, 1.25) == [Migrated(0.25, 0, "drain")]


def test_a_standby_that_goes_changes_nothing(talk):
    """If the slot elsewhere is lost the session stays; if its own goes too it looks for another."""
    talk.open(1, 0)
    talk.migrate(2, "balance", 0.0)
    assert talk.on_migration_lost() == []
    assert talk.state is State.READY
    talk.migrate(3, "balance", 0.0)
    assert talk.on_lost("silent", 0.0, worker="gpu0") == []
    talk.check()
    assert talk.on_migration_lost() == [RequestSlot()]


def test_an_end_gives_both_slots_back(talk):
    """A session that ends while a slot elsewhere is held for it frees both."""
    talk.open(1, 0)
    talk.migrate(2, "drain", 0.0)
    assert talk.on_disconnected() == [ReleaseSlot(1, close=True), ReleaseSlot(2, close=True)]


def test_a_client_that_leaves_frees_its_slot(talk):
    """The slot is given back at once; what was not decoded is dropped, and says why."""
    talk.open()
    talk.on_audio(pcm(100), 0.0)
    talk.hear(hypothesis(keep_from=40))
    assert talk.on_disconnected() == [ReleaseSlot(1, close=True)]
    assert (talk.accounting.transcribed, talk.accounting.dropped, talk.accounting.reason) == (40, 60, "client_left")
    assert talk.on_disconnected() == []


def test_a_client_whose_network_drops_has_a_grace(talk):
    """What is there is decoded, then the slot is given back; the client comes back and goes on from what arrived."""
    talk.open()
    talk.on_audio(pcm(100) + b"\1", 0.0)
    assert talk.on_detached(1.0) == []
    assert talk.hear(hypothesis(decoded=50), 1.5) == []
    assert talk.hear(hypothesis(decoded=100), 2.0) == [ReleaseSlot(1, close=True)]
    assert (talk.state, talk.lease) == (State.PARKED, None)
    talk.check()
    assert talk.on_resumed(3.0) == [RequestSlot()]
    talk.on_audio(pcm(2, 9), 3.0)
    opening = told(talk.on_lease(2, 0, 3.0))
    assert b"".join(each.pcm for each in opening[1:]) == pcm(100) + pcm(2, 9)
    assert talk.on_opened(1.0, 3.5) == [Migrated(0.5, 2, "resume")]


def test_a_client_that_comes_back_soon_keeps_its_slot(talk):
    """Before everything was decoded there was nothing to give back."""
    talk.open()
    talk.on_audio(pcm(100), 0.0)
    talk.on_detached(1.0)
    assert talk.on_resumed(1.5) == []
    assert talk.hear(hypothesis(decoded=100), 2.0) == []
    assert (talk.state, talk.lease) == (State.READY, 1)


def test_half_a_sample_does_not_outlive_its_socket(talk):
    """A newer socket sends on from a whole sample, though the older one was never seen to break."""
    talk.open()
    talk.on_audio(pcm(100) + b"x", 0.0)
    talk.on_resumed(1.0)
    (sent,) = told(talk.on_audio(pcm(1, value=7), 1.5))
    assert (sent.start, sent.pcm) == (100, pcm(1, value=7))


def test_a_client_that_does_not_come_back_is_forgotten():
    """After the grace the session ends, with its books."""
    talk = Talk(resume_grace_s=30.0)
    talk.start()
    talk.open()
    talk.on_detached(1.0)
    assert talk.on_time(30.9) == [ReleaseSlot(1, close=True)]
    assert talk.state is State.PARKED
    assert talk.on_time(31.0) == []
    assert talk.state is State.ENDED
    talk.check()


def test_the_end_is_told_again_to_a_client_that_was_away(talk):
    """A session that ended in the client's absence tells it how when it is back."""
    talk.open()
    talk.on_end_of_audio(0.0)
    talk.on_detached(0.0)
    talk.on_finished(m.Finished(1, books(0)))
    talk.read()
    assert talk.farewell() == [CloseConnection(1000, "", linger_s=5.0)]
    assert talk.said("ready_to_stop", "audio") == [{"received": 0, "transcribed": 0, "silence": 0, "dropped": 0}]


def ended(talk) -> tuple[str, int]:
    talk.check()
    return talk.error.code, talk.error.close_code


def test_silence_on_the_line_ends_it():
    """A client that sends nothing at all is gone; any message counts as life."""
    talk = Talk(idle_timeout_s=60.0)
    talk.start()
    talk.open()
    talk.on_audio(pcm(1), 10.0)
    assert talk.on_time(69.9) == []
    talk.on_keepalive(69.9)
    assert talk.on_time(129.8) == []
    assert talk.on_time(129.9) == [ReleaseSlot(1, close=True), CloseConnection(4408, "Nothing was received for 60 s")]
    assert ended(talk) == ("session_limit", 4408)


def test_a_session_has_a_longest_time():
    """However lively, it ends at the bound."""
    talk = Talk(max_session_s=100.0)
    talk.start()
    talk.open()
    talk.on_audio(pcm(1), 99.9)
    assert talk.on_time(99.9) == []
    assert talk.on_time(100.0)[-1] == CloseConnection(4408, "The session reached its limit of 100 s")


def test_a_journal_full_for_too_long_ends_it():
    """A client is held back for so long; every piece of room that appears starts the time anew."""
    talk = Talk(journal_s=40.0, stall_limit_s=60.0, idle_timeout_s=5.0)
    talk.start()
    talk.open()
    talk.on_audio(pcm(40 * S), 0.0)
    assert talk.backpressured
    assert talk.capacity_bytes == 0
    assert talk.on_time(0.0) == []
    assert talk.on_time(59.0) == []
    talk.hear(hypothesis(keep_from=S))
    assert talk.capacity_bytes == 2 * S
    # Held back, the client could not send: that time is not its silence.
    assert talk.on_time(59.1) == []
    talk.on_audio(pcm(S), 60.0)
    assert talk.on_time(60.0) == []
    assert talk.on_time(119.9) == []
    assert talk.on_time(120.0) != []
    assert ended(talk) == ("overloaded", 1013)
    assert talk.accounting.dropped == 40 * S


def test_no_worker_at_the_start_ends_it():
    """Before any worker has come a session waits so long for the first."""
    talk = Talk(start_wait_s=60.0)
    talk.start()
    assert talk.on_time(59.9) == []
    assert talk.on_time(60.0) == [CloseConnection(1013, "No GPU resources available")]
    assert talk.read()[-1]["retry_after_s"] > 0
    assert ended(talk) == ("no_capacity", 1013)


def test_no_worker_after_a_loss_ends_it():
    """A session that lost its worker waits in line for so long, and the error says how far it came."""
    talk = Talk(line_wait_s=60.0)
    talk.start()
    talk.open()
    talk.on_audio(pcm(2 * S), 0.0)
    talk.hear(hypothesis(word(" one", 0.5, 1.5)))
    talk.on_lost("silent", 10.0, worker="gpu2")
    talk.on_keepalive(60.0)
    assert talk.on_time(69.9) == []
    assert talk.on_time(70.0) != []
    assert ended(talk) == ("no_capacity", 1013)
    assert "1.5 s are transcribed" in talk.error.message


def test_a_worker_that_does_not_get_ready_is_overdue():
    """Loading has a bound, for the session's own slot and for one that is held for it."""
    talk = Talk(open_wait_s=120.0)
    talk.start()
    talk.on_lease(1, 0, 5.0)
    assert (talk.overdue_lease(124.9), talk.overdue_lease(125.0)) == (None, 1)
    assert talk.on_time(125.0) == []
    talk.on_opened(1.0, 130.0)
    assert talk.overdue_lease(1000.0) is None
    talk.migrate(2, "drain", 1000.0)
    assert (talk.overdue_lease(1119.9), talk.overdue_lease(1120.0)) == (None, 2)


def test_last_words_that_do_not_come_end_it():
    """So has the flush, counted from the end of the audio."""
    talk = Talk(finish_wait_s=120.0, idle_timeout_s=1.0)
    talk.start()
    talk.open()
    talk.on_end_of_audio(5.0)
    assert talk.on_time(124.9) == []
    assert talk.on_time(125.0)[0] == ReleaseSlot(1, close=True)
    assert ended(talk) == ("recognition_failed", 1011)


def test_a_restart_flushes_first(talk):
    """When the gateway goes a session says its last words, then that the service restarts."""
    talk.open()
    talk.on_audio(pcm(100), 0.0)
    assert told(talk.drain(ServiceRestartError("The service restarts", retry_after_s=5.0), 0.0)) == [m.Finish(1, 100)]
    talk.hear(hypothesis(word(" one", 0, 0.005)))
    actions = talk.on_finished(m.Finished(1, books(100)))
    assert actions == [ReleaseSlot(1, close=False), CloseConnection(1012, "The service restarts")]
    final, error = talk.read()[-2:]
    assert (final["text"], error["error"], error["retry_after_s"]) == ("one", "The service restarts", 5.0)
    assert (talk.accounting.transcribed, talk.accounting.dropped) == (100, 0)


def test_a_restart_ends_what_is_not_ready(talk):
    """Without a worker there is nothing to flush."""
    assert talk.drain(ServiceRestartError("The service restarts"), 0.0) == [
        CloseConnection(1012, "The service restarts")
    ]


def test_the_end_is_the_end(talk):
    """After the end nothing does anything."""
    talk.open()
    talk.on_disconnected()
    assert talk.on_audio(pcm(10), 1.0) == talk.on_end_of_audio(1.0) == talk.on_finalize(1.0) == []
    assert talk.on_time(1e9) == talk.stop(NoCapacityError("x")) == talk.on_lost("x", 1.0, worker="gpu0") == []
    assert talk.on_opened(1.0, 1.0) == talk.on_detached(1.0) == []
