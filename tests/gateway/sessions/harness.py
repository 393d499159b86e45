"""A session by itself, with a client that reads everything."""

import json

from gateway.protocols.asr_events import EventsProtocol
from gateway.sessions.commands import SendToWorker
from gateway.sessions.send_queue import SendQueue
from gateway.sessions.session import Session
from gateway.sessions.transcript import Transcript
from tests.gateway.builders import bounds


def sent_to_worker(commands) -> list:
    return [command.message for command in commands if isinstance(command, SendToWorker)]


def pcm(samples, value=1) -> bytes:
    return value.to_bytes(2, "little") * samples


class SessionHarness:
    """A session that has been started at second 0; everything that it does not define is the session's own."""

    def __init__(self, **limits) -> None:
        transcript, self.send_queue = Transcript(), SendQueue(EventsProtocol.encode)
        self.session = Session(
            "x",
            presenter=EventsProtocol(transcript, self.send_queue),
            transcript=transcript,
            language="en",
            task="transcribe",
            now=0.0,
            limits=bounds(**limits),
        )
        self.first_commands = self.session.start()

    def __getattr__(self, name):
        return getattr(self.session, name)

    def read(self) -> list[dict]:
        """Return what the client has been sent since the last call."""
        messages, now = [], 0.0
        while (text := self.send_queue.pop(now)) is not None:
            messages.append(json.loads(text))
            now += 1000.0
        return messages

    def read_values(self, kind, key) -> list:
        return [message[key] for message in self.read() if message["type"] == kind]

    def make_ready(self, lease=1, gpu_id=2, now=0.0) -> "SessionHarness":
        """Bring the session to READY on a worker."""
        self.session.on_lease(lease, gpu_id, now)
        self.session.on_opened(5.0, now)
        return self

    def on_hypothesis(self, message, now=0.0):
        return self.session.on_hypothesis(message, now)
