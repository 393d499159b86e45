"""Any order of joins, deaths, losses, audio, words and time, through the real codec: nothing is lost, nothing said twice."""

import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.messages import Goodbye
from tests.gateway.exchange import Exchange
from tests.gateway.readers import Reader, shown
from tests.scripted_recognizer import POISON, say

WORDS = ["one", "two", "river", "stone", "woodcutters", "rainbows", "sentence.", "over.", "well,", "café", "green"]
LIMITS = {"journal_s": 40.0, "resume_grace_s": 12.0, "line_wait_s": 20.0, "start_wait_s": 20.0, "open_wait_s": 20.0}


class Person:
    """A client, what it wanted to say, and what it has read."""

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
        if self.client.conversation.parameters.mode == "events":
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
    """Three workers of two slots, and whoever comes."""

    @initialize(
        booted=st.sampled_from([(0, 1, 2), (0, 1, 2), (1, 2), (2,), ()]),
        modes=st.lists(st.sampled_from(["events", "full"]), min_size=1, max_size=5),
        rounds=st.integers(0, 3),
    )
    def start(self, booted, modes, rounds):
        self.exchange = Exchange(workers=3, slots=2)
        self.people: list[Person] = []
        for gpu_id in booted:
            self.exchange.hear(self.exchange.boot(gpu_id))
        for number, mode in enumerate(modes):
            self.join(mode)
            self.speak(number, WORDS[number : number + 2], 7)
        self.exchange.run(rounds)

    def pick(self, number, condition=lambda person: True):
        """Return one of the people, if any will do."""
        found = [person for person in self.people if condition(person)]
        return found[number % len(found)] if found else None

    # --- workers

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
        self.exchange.switchboard.ticked(self.exchange.clock.now)

    # --- people

    @rule(mode=st.sampled_from(["events", "full"]))
    def join(self, mode):
        if len(self.people) < 8:
            self.people.append(Person(self.exchange.client(mode, **LIMITS).join()))

    @rule(
        number=st.integers(0, 7), words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), cut=st.integers(0, 99)
    )
    def speak(self, number, words, cut):
        person = self.pick(number, lambda each: not each.client.ending)
        if person:
            person.words += words
            person.client.say(say(words).pcm.tobytes(), cut)

    @rule(number=st.integers(0, 7), pause_s=st.sampled_from([0.3, 1.0, 3.0]))
    def pause(self, number, pause_s):
        person = self.pick(number, lambda each: not each.client.ending)
        if person:
            person.client.say(say([pause_s]).pcm.tobytes())

    @rule(number=st.integers(0, 7))
    def poison(self, number):
        person = self.pick(number, lambda each: not each.client.ending)
        if person and number == 7:
            person.poisoned = True
            person.client.say(say([POISON]).pcm.tobytes())

    @rule(
        number=st.integers(0, 7),
        what=st.sampled_from(["end", "finalize", "leave", "lose", "return", "read", "read", "return"]),
    )
    def do(self, number, what):
        client = self.pick(number, lambda each: not each.client.here or what != "return") or self.pick(number)
        if client is None:
            return
        person, client = client, client.client
        if what == "read" and client.here:
            person.read(1 + number)
        elif what == "return" and not client.here:
            if client.come_back(person.reader(None)):
                self.exchange.check()
        elif client.here and not client.conversation.over:
            {"end": client.end, "leave": client.leave, "lose": client.lose_network}.get(what, lambda: None)()
            if what == "finalize":
                client.perform(client.session.finalize(self.exchange.clock.now))

    @invariant()
    def holds(self):
        if hasattr(self, "exchange"):
            self.exchange.check()
            for person in self.people:
                person.check()

    def teardown(self):
        """Heal everything, have everybody come back and end: each conversation gets to its end, with all its words."""
        if not hasattr(self, "exchange"):
            return
        for gpu_id in range(3):
            self.exchange.boot(gpu_id)
        for person in self.people:
            if not person.client.here:
                person.client.come_back(person.reader(None))
            person.client.end()
        for _ in range(400):
            if all(person.client.conversation.over for person in self.people):
                break
            self.exchange.run()
        for person in self.people:
            self.ended(person)
        self.exchange.run(5)
        assert self.exchange.switchboard.sessions == 0
        assert not self.exchange.pool._where
        assert [len(worker.table) for worker in self.exchange.workers.values()] == [0, 0, 0]
        self.exchange.check_log()
        closed = [event["connection"] for event in self.exchange.log.of("session_closed")]
        assert sorted(closed) == sorted(person.client.session.id for person in self.people)

    def ended(self, person):
        client, session = person.client, person.client.session
        assert client.conversation.over, (session.state, session.lease)
        person.check()
        if client.here:
            person.read()
            client.leave()
        assert session.outcome in {"complete", "client_left", "no_capacity", "recognition_failed"}
        if session.error is not None:
            assert "contradict" not in session.error.message, "a real stream's positions are believed"
            assert "add up" not in session.error.message, "a real stream's books balance"
        if session.outcome != "complete" or person.poisoned:
            return
        accounts = session.accounts
        assert (accounts.received * 2, accounts.dropped) == (len(client.said), 0)
        assert "".join(person.committed).split() == person.words
        if person.last.get("type") == "ready_to_stop":
            text = person.reader.text if client.conversation.parameters.mode == "events" else person.shown
            assert text.replace(" ", "") == "".join(person.words)


Conversations.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
test_conversations = Conversations.TestCase
