"""What observers may do to a session: nothing."""

import json

import pytest

from gateway.monitoring.log_observer import LogObserver
from gateway.monitoring.statistics import Statistics
from gateway.sessions.state import State
from tests.gateway.exchange import Exchange
from tests.scripted_recognizer import say


class FailingObserver:
    """An observer that raises at every event."""

    def observe(self, event) -> None:
        raise RuntimeError(event)


@pytest.mark.parametrize("observers", [[], [FailingObserver()], [Statistics()], [LogObserver()]])
def test_observers_change_nothing(observers):
    """With any observer missing or raising, a session survives its worker, and its client is sent the same messages."""
    sent = []
    for chosen in (None, observers):
        exchange = Exchange(workers=1, observers=chosen).boot_all()
        client = exchange.client().join()
        exchange.run(2)
        assert client.session.state is State.READY
        client.say(say(["one", "two", 0.8]).pcm.tobytes())
        exchange.run(4)
        exchange.workers[0].alive = False
        exchange.run(10)
        assert client.session.state is State.WAITING
        exchange.boot(0)
        exchange.run(3)
        client.end()
        exchange.run(6)
        assert client.session.outcome == "complete"
        sent.append([json.loads(text) | {"resume_token": None} for text in client.read()])
    assert sent[0] == sent[1]
