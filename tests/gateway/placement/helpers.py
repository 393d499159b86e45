"""What tests of placement do to workers and sessions."""

from tests.gateway.builders import heartbeat
from tests.scripted_recognizer import say


def suspect(client, losses) -> None:
    """Have a session suspected of some deaths over audio that is not decoded yet."""
    client.say(say(["one", 1.0]).pcm.tobytes())
    for _ in range(losses):
        client.session.poison.note_loss("gpu9", client.session.received, died=True)


def reported(worker, **changes):
    """Return a heartbeat of the worker with these changes."""
    return heartbeat(*worker.table.reports(0), **changes)
