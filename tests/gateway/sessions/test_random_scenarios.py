"""Any order of clients, workers' failures, audio and time, through the real codec: no word is lost or sent twice."""

import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.protocols.asr_events import EventsProtocol
from shared.messages import Goodbye
from tests.gateway.exchange import Exchange
from tests.gateway.readers import Reader, shown
from tests.scripted_recognizer import POISON, say

WORDS = ["one", "two", "river", "stone", "woodcutters", "rainbows", "sentence.", "over.", "well,", "café", "green"]
LIMITS = {"journal_s": 40.0, "resume_grace_s": 12.0, "line_wait_s": 20.0, "start_wait_s": 20.0, "open_wait_s": 20.0}


class Participant:
    """A client, the words that it says, and what it has read."""

    def __init__(self, client) -> None:
        self.client = client
        self.words: list[str] = []
        self.poisoned = False
        self.reader = Reader()
        self.shown = ""
        self.committed: list[str] = []
        self.last: dict = {}

    def read(self, most=10_000) -> None:
        messages = [json.loads(text) for text in self.client.read(most)]
        self.last = messages[-1] if messages else self.last
        if isinstance(self.client.client_session.presenter, EventsProtocol):
            self.reader(messages)
            return
        for message in messages:
            if "lines" in message:
                assert shown(message).startswith(self.shown)
                self.shown = shown(message)

    def check(self) -> None:
        words = [word.text for segment in self.client.session.transcript.segments for word in segment.words]
        assert words[: len(self.committed)] == self.committed, "committed text changed"
        self.committed = words


class Conversations(RuleBasedStateMachine):
    """Three workers of two slots, and up to eight clients."""

    @initialize(
        booted=st.sampled_from([(0, 1, 2), (0, 1, 2), (1, 2), (2,), ()]),
        modes=st.lists(st.sampled_from(["events", "full"]), min_size=1, max_size=5),
        rounds=st.integers(0, 3),
    )
    def start(self, booted, modes, rounds):
        self.exchange = Exchange(workers=3, slots=2)
        self.participants: list[Participant] = []
        for gpu_id in booted:
            self.exchange.hear(self.exchange.boot(gpu_id))
        for number, mode in enumerate(modes):
            self.join(mode)
            self.speak(number, WORDS[number : number + 2], 7)
        self.exchange.run(rounds)

    def pick(self, number, condition=lambda participant: True):
        """Return one of the participants that meet the condition, or None."""
        found = [participant for participant in self.participants if condition(participant)]
        return found[number % len(found)] if found else None

    @rule(gpu_id=st.integers(0, 2))
    def boot(self, gpu_id):
        self.exchange.boot(gpu_id)

    @precondition(lambda self: self.exchange.workers)
    @rule(
        gpu_id=st.integers(0, 2),
        what=st.sampled_from(["die", "freeze", "thaw", "drain", "leave", "refuse", "agree", "break"]),
    )
    def fate(self, gpu_id, what):
        worker = self.exchange.workers.get(gpu_id)
        if worker is None:
            return
        if what == "die":
            worker.alive = False
            for _ in range(len(worker.outbox) // 2):
                worker.outbox.pop()
        elif what == "break":
            worker.alive = False
            worker.outbox.clear()
            self.exchange.link.unreachable.add(worker.identity)
        elif what == "leave" and worker.alive:
            worker.send(Goodbye("stopped"))
            worker.alive = False
        elif what == "drain":
            worker.draining = True
        else:
            worker.frozen = what == "freeze" or (worker.frozen and what != "thaw")
            worker.refusing = what == "refuse" or (worker.refusing and what != "agree")

    @rule(gpu_id=st.integers(0, 2), steps=st.integers(0, 3), hear=st.integers(0, 5))
    def work(self, gpu_id, steps, hear):
        worker = self.exchange.workers.get(gpu_id)
        if worker is not None:
            worker.work(steps)
            worker.beat()
            self.exchange.hear(worker, hear)

    @rule(rounds=st.integers(1, 4))
    def everybody_works(self, rounds):
        self.exchange.run(rounds)

    @rule(passed_s=st.sampled_from([0.1, 1.0, 2.5]))
    def time(self, passed_s):
        self.exchange.clock.now += passed_s
        self.exchange.manager.on_tick(self.exchange.clock.now)

    @rule(mode=st.sampled_from(["events", "full"]))
    def join(self, mode):
        if len(self.participants) < 8:
            self.participants.append(Participant(self.exchange.client(mode, **LIMITS).join()))

    @rule(
        number=st.integers(0, 7), words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), cut=st.integers(0, 99)
    )
    def speak(self, number, words, cut):
        participant = self.pick(number, lambda each: not each.client.ending)
        if participant:
            participant.words += words
            participant.client.say(say(words).pcm.tobytes(), cut)

    @rule(number=st.integers(0, 7), pause_s=st.sampled_from([0.3, 1.0, 3.0]))
    def pause(self, number, pause_s):
        participant = self.pick(number, lambda each: not each.client.ending)
        if participant:
            participant.client.say(say([pause_s]).pcm.tobytes())

    @rule(number=st.integers(0, 7))
    def poison(self, number):
        participant = self.pick(number, lambda each: not each.client.ending)
        if participant and number == 7:
            participant.poisoned = True
            participant.client.say(say([POISON]).pcm.tobytes())

    @rule(
        number=st.integers(0, 7),
        what=st.sampled_from(["end", "finalize", "leave", "lose", "return", "read", "read", "return"]),
    )
    def do(self, number, what):
        client = self.pick(number, lambda each: not each.client.here or what != "return") or self.pick(number)
        if client is None:
            return
        participant, client = client, client.client
        if what == "read" and client.here:
            participant.read(1 + number)
        elif what == "return" and not client.here:
            if client.come_back(participant.reader(None)):
                self.exchange.check()
        elif client.here and not client.client_session.ended:
            {"end": client.end, "leave": client.leave, "lose": client.lose_network}.get(what, lambda: None)()
            if what == "finalize":
                client.perform(client.session.on_finalize(self.exchange.clock.now))

    @invariant()
    def holds(self):
        self.exchange.check()
        for participant in self.participants:
            participant.check()

    def teardown(self):
        """Boot every worker, resume and end every session: each completes, with all its words."""
        if not hasattr(self, "exchange"):
            return
        for gpu_id in range(3):
            self.exchange.boot(gpu_id)
        for participant in self.participants:
            if not participant.client.here:
                participant.client.come_back(participant.reader(None))
            participant.client.end()
        for _ in range(400):
            if all(participant.client.client_session.ended for participant in self.participants):
                break
            self.exchange.run()
        for participant in self.participants:
            self.ended(participant)
        self.exchange.run(5)
        assert self.exchange.manager.session_count == 0
        assert not self.exchange.registry._worker_of_lease
        assert [len(worker.table) for worker in self.exchange.workers.values()] == [0, 0, 0]
        self.exchange.check_log()
        closed = [event["connection"] for event in self.exchange.log.of("session_closed")]
        assert sorted(closed) == sorted(participant.client.session.id for participant in self.participants)

    def ended(self, participant):
        client, session = participant.client, participant.client.session
        assert client.client_session.ended, (session.state, session.lease)
        participant.check()
        if client.here:
            participant.read()
            client.leave()
        assert session.outcome in {"complete", "client_left", "no_capacity", "recognition_failed"}
        if session.error is not None:
            assert "contradict" not in session.error.message, "a real stream's positions are consistent"
            assert "add up" not in session.error.message, "a real stream's accounting adds up"
        if session.outcome != "complete" or participant.poisoned:
            return
        accounting = session.accounting
        assert (accounting.received * 2, accounting.dropped) == (len(client.said), 0)
        assert "".join(participant.committed).split() == participant.words
        if participant.last.get("type") == "ready_to_stop":
            text = (
                participant.reader.text
                if isinstance(client.client_session.presenter, EventsProtocol)
                else participant.shown
            )
            assert text.replace(" ", "") == "".join(participant.words)


Conversations.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
test_conversations = Conversations.TestCase
