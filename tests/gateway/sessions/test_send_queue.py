"""The send queue: messages in order; of each state only the newest, below 64 kB a second."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sessions.send_queue import SendQueue


def plain(message, _seq) -> str:
    """Encode a message as JSON."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def numbered(message, seq) -> str:
    """Encode a message as JSON with its number."""
    return plain({**message, "seq": seq}, seq)


def drain(send_queue, now=1e9) -> list[dict]:
    """Return everything that is sent at ``now``."""
    sent = []
    while (text := send_queue.pop(now)) is not None:
        sent.append(json.loads(text))
        now += 1000.0
    return sent


OPERATIONS = st.lists(
    st.one_of(st.just("enqueue"), st.sampled_from(["latest a", "latest b"]), st.just("discard a"), st.just("pop")),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(OPERATIONS)
def test_messages_arrive_in_order_and_the_newest_state_arrives(operations):
    """Every message arrives once; each state that was not discarded is replaced or arrives; nothing overtakes what is older."""
    send_queue = SendQueue(numbered)
    sent, newest = [], {}
    for clock, operation in enumerate(operations, 1):
        if operation == "enqueue":
            send_queue.enqueue({"queued": clock})
        elif operation == "pop":
            text = send_queue.pop(clock * 1000.0)
            sent += [] if text is None else [json.loads(text)]
        elif operation == "discard a":
            send_queue.discard("a")
            newest.pop("a", None)
        else:
            name = operation[-1]
            newest[name] = clock
            send_queue.enqueue_latest(name, lambda name=name, clock=clock: {name: clock})
    sent += drain(send_queue)
    queued = [message["queued"] for message in sent if "queued" in message]
    assert queued == [at + 1 for at, operation in enumerate(operations) if operation == "enqueue"]
    assert [message["seq"] for message in sent] == list(range(1, len(sent) + 1))
    for name, at in newest.items():
        assert [message[name] for message in sent if name in message][-1] == at
        # A state says what is true at its time: messages that are older are sent before it.
        made = [message.get(name, message.get("queued")) for message in sent if name in message or "queued" in message]
        assert made == sorted(made)


def test_a_slow_reader_gets_only_the_last_state():
    """However often a state is renewed, one is sent, rendered when it is popped."""
    send_queue, words = SendQueue(plain), []
    for n in range(50):
        words.append(n)
        send_queue.enqueue_latest("state", lambda: {"words": len(words)})
    words.append("late")
    assert drain(send_queue) == [{"words": 51}]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60_000), min_size=3, max_size=40), st.sampled_from("aé字🙂"), st.floats(0.01, 0.5))
def test_states_are_sent_below_the_rate_limit(sizes, letter, period_s):
    """In bytes on the wire, the states sent in any span are below 64 kB a second and one state."""
    send_queue, now, sent = SendQueue(plain), 0.0, []
    for size in sizes:
        send_queue.enqueue_latest("state", lambda size=size: {"text": letter * size})
        while (text := send_queue.pop(now)) is not None:
            sent.append((now, len(text.encode())))
        now += period_s
    for index, (first, _) in enumerate(sent):
        for last, biggest in sent[index:]:
            span = [length for at, length in sent if first <= at <= last]
            assert sum(span) - biggest <= 64_000 * (last - first) + 1


def test_a_message_does_not_wait_for_the_rate():
    """It is sent at once, and so is a state from before it."""
    send_queue = SendQueue(plain, bytes_per_s=10.0)
    send_queue.enqueue_latest("state", lambda: {"text": "x" * 100})
    assert send_queue.pop(0.0) is not None
    send_queue.enqueue_latest("state", lambda: {"text": "y"})
    assert send_queue.pop(1.0) is None
    assert send_queue.wait_s(1.0) == pytest.approx(11.1 - 1.0 - 0.0, abs=0.3)
    send_queue.enqueue({"final": 1})
    assert send_queue.wait_s(1.0) == 0.0
    assert [json.loads(send_queue.pop(1.0)), json.loads(send_queue.pop(1.0))] == [{"text": "y"}, {"final": 1}]


def test_wait_s_tells_when_to_pop():
    """``wait_s`` is None for nothing, 0 for now, and after that many seconds `pop` has the state."""
    send_queue = SendQueue(plain, bytes_per_s=100.0)
    assert send_queue.wait_s(5.0) is None
    assert send_queue.pop(5.0) is None
    send_queue.enqueue_latest("state", lambda: {"n": 1})
    assert send_queue.wait_s(5.0) == 0.0
    assert send_queue.pop(5.0) is not None
    send_queue.enqueue_latest("state", lambda: {"n": 2})
    wait_s = send_queue.wait_s(5.0)
    assert 0.0 < wait_s < 0.1
    assert send_queue.pop(5.0 + wait_s * 0.9) is None
    assert send_queue.pop(5.0 + wait_s + 1e-9) is not None


def test_too_many_unread_messages_overflow():
    """A client that reads nothing is noticed."""
    send_queue = SendQueue(numbered, max_posted=3)
    for n in range(3):
        send_queue.enqueue({"n": n})
    assert not send_queue.overflowing
    send_queue.enqueue({"n": 3})
    assert send_queue.overflowing


def test_text_is_sent_as_utf_8():
    """No character is escaped, and the JSON has no blanks to spare."""
    send_queue = SendQueue(plain)
    send_queue.enqueue({"text": "señor 字", "n": 1})
    assert send_queue.pop(0.0) == '{"text":"señor 字","n":1}'
