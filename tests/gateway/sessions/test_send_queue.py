"""The outbox: what is posted arrives in order, of what is offered the newest, below 64 kB a second."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sessions.send_queue import Outbox


def drain(outbox, now=1e9) -> list[dict]:
    """Return everything that is sent at ``now``."""
    sent = []
    while (text := outbox.pop(now)) is not None:
        sent.append(json.loads(text))
        now += 1000.0
    return sent


OPERATIONS = st.lists(
    st.one_of(st.just("post"), st.sampled_from(["offer a", "offer b"]), st.just("withdraw a"), st.just("pop")),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(OPERATIONS)
def test_posts_arrive_in_order_and_the_newest_offer_arrives(operations):
    """Every post arrives once and in order; each offer that was not withdrawn is replaced or arrives; time never goes back."""
    outbox = Outbox(numbered=True)
    sent, newest = [], {}
    for clock, operation in enumerate(operations, 1):
        if operation == "post":
            outbox.post({"posted": clock})
        elif operation == "pop":
            text = outbox.pop(clock * 1000.0)
            sent += [] if text is None else [json.loads(text)]
        elif operation == "withdraw a":
            outbox.withdraw("a")
            newest.pop("a", None)
        else:
            name = operation[-1]
            newest[name] = clock
            outbox.offer(name, lambda name=name, clock=clock: {name: clock})
    sent += drain(outbox)
    posted = [message["posted"] for message in sent if "posted" in message]
    assert posted == [at + 1 for at, operation in enumerate(operations) if operation == "post"]
    assert [message["seq"] for message in sent] == list(range(1, len(sent) + 1))
    for name, at in newest.items():
        assert [message[name] for message in sent if name in message][-1] == at
        # A state is about a time: what was posted before it was offered is sent before it.
        made = [message.get(name, message.get("posted")) for message in sent if name in message or "posted" in message]
        assert made == sorted(made)


def test_a_state_offered_anew_does_not_overtake_a_post():
    """A state that has waited since before a post is not sent before it with what happened after it."""
    outbox = Outbox(numbered=False)
    outbox.offer("state", lambda: {"words": 1})
    outbox.post({"final": 2})
    outbox.offer("state", lambda: {"words": 3})
    assert drain(outbox) == [{"final": 2}, {"words": 3}]


def test_a_slow_reader_gets_the_last_state_once():
    """However often a state is offered, one is sent, and it is rendered when it goes out."""
    outbox, words = Outbox(numbered=False), []
    for n in range(50):
        words.append(n)
        outbox.offer("state", lambda: {"words": len(words)})
    words.append("late")
    assert drain(outbox) == [{"words": 51}]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60_000), min_size=3, max_size=40), st.sampled_from("aé字🙂"), st.floats(0.01, 0.5))
def test_states_keep_below_their_rate(sizes, letter, period_s):
    """In bytes on the wire, the states sent in any span are below 64 kB a second and one state."""
    outbox, now, sent = Outbox(numbered=False), 0.0, []
    for size in sizes:
        outbox.offer("state", lambda size=size: {"text": letter * size})
        while (text := outbox.pop(now)) is not None:
            sent.append((now, len(text.encode())))
        now += period_s
    for index, (first, _) in enumerate(sent):
        for last, biggest in sent[index:]:
            span = [length for at, length in sent if first <= at <= last]
            assert sum(span) - biggest <= 64_000 * (last - first) + 1


def test_a_post_does_not_wait_for_the_rate():
    """A posted message goes at once, and what was offered before it goes with it."""
    outbox = Outbox(numbered=False, bytes_per_s=10.0)
    outbox.offer("state", lambda: {"text": "x" * 100})
    assert outbox.pop(0.0) is not None
    outbox.offer("state", lambda: {"text": "y"})
    assert outbox.pop(1.0) is None
    assert outbox.wait_s(1.0) == pytest.approx(11.1 - 1.0 - 0.0, abs=0.3)
    outbox.post({"final": 1})
    assert outbox.wait_s(1.0) == 0.0
    assert [json.loads(outbox.pop(1.0)), json.loads(outbox.pop(1.0))] == [{"text": "y"}, {"final": 1}]


def test_it_says_when_to_come_again():
    """``wait_s`` is None for nothing, 0 for now, and after that many seconds `pop` has the state."""
    outbox = Outbox(numbered=False, bytes_per_s=100.0)
    assert outbox.wait_s(5.0) is None
    assert outbox.pop(5.0) is None
    outbox.offer("state", lambda: {"n": 1})
    assert outbox.wait_s(5.0) == 0.0
    assert outbox.pop(5.0) is not None
    outbox.offer("state", lambda: {"n": 2})
    wait_s = outbox.wait_s(5.0)
    assert 0.0 < wait_s < 0.1
    assert outbox.pop(5.0 + wait_s * 0.9) is None
    assert outbox.pop(5.0 + wait_s + 1e-9) is not None


def test_unread_posts_have_a_bound():
    """A client that reads nothing is found out."""
    outbox = Outbox(numbered=True, max_posted=3)
    for n in range(3):
        outbox.post({"n": n})
    assert not outbox.overflowing
    outbox.post({"n": 3})
    assert outbox.overflowing


def test_text_travels_as_utf_8():
    """No character is escaped, and the JSON has no blanks to spare."""
    outbox = Outbox(numbered=False)
    outbox.post({"text": "señor 字", "n": 1})
    assert outbox.pop(0.0) == '{"text":"señor 字","n":1}'
