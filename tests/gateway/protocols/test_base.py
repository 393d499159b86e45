"""A client protocol that only this file knows plugs in: lines of text instead of JSON."""

import pytest

from gateway.protocols import PROTOCOLS
from gateway.protocols.base import AudioEnded, AudioReceived, ClientProtocol, Handshake, Rejected
from gateway.sessions.client_session import SessionOptions
from tests.gateway.asr_harness import GatewayHarness
from tests.scripted_recognizer import say

pytestmark = pytest.mark.anyio


class LineProtocol(ClientProtocol):
    """Each line says one thing: ``hello``, ``status``, ``word``, ``error``, ``bye``."""

    def __init__(self, transcript, queue):
        self._transcript, self._queue, self._sent = transcript, queue, 0

    @staticmethod
    def encode(message, seq):
        return f"{seq} {message}"

    def receive(self, frame):
        if isinstance(frame, bytes):
            return [AudioReceived(frame)]
        return [AudioEnded() if frame == "end" else Rejected(f"what is {frame}?")]

    def greeted(self, greeting):
        self._queue.enqueue(f"hello {greeting.model}")

    def status(self, message, gpu_id):
        self._queue.enqueue(f"status {message}")

    def migrated(self, gpu_id):
        pass

    def text_changed(self, received, lag_s):
        words = [word.text.strip() for segment in self._transcript.segments for word in segment.words]
        for word in words[self._sent :]:
            self._queue.enqueue(f"word {word}")
        self._sent = len(words)

    def hint(self, code, sentence):
        pass

    def rejected(self, sentence):
        self._queue.enqueue(f"error {sentence}")

    def failed(self, error):
        self._queue.enqueue(f"error {error.message}")

    def completed(self, accounting):
        self._queue.enqueue(f"bye {accounting.received}")

    def replay(self, last_seq):
        self._sent = 0


class Lines:
    """Serves `LineProtocol`; ``?language=`` is all that can be asked for."""

    def open(self, request):
        return Handshake(SessionOptions(request.query.get("language")), LineProtocol)

    def refusal(self, error):
        return f"0 error {error.message}"


async def test_a_protocol_from_outside_the_gateway():
    """Words, errors, the end and refusals come in its form; ``/asr`` is served beside it."""
    gateway = GatewayHarness(protocols=PROTOCOLS | {"/lines": Lines()})
    socket, stock = gateway.connect("language=en", path="/lines"), gateway.connect()
    speech = say(["one", "two", "river", 0.8])
    socket.send(speech.pcm.tobytes(), "nonsense", "end")
    stock.send(speech.pcm.tobytes(), b"")
    await gateway.settle(20)
    lines = [text.split(" ", 1) for text in socket.texts]
    assert [int(number) for number, _ in lines] == list(range(1, len(lines) + 1))
    contents = [line for _, line in lines]
    assert contents[0] == "hello scripted"
    assert [line for line in contents if line.startswith("word ")] == ["word one", "word two", "word river"]
    assert "error what is nonsense?" in contents
    assert contents[-1] == f"bye {len(speech.pcm)}"
    assert stock.messages[-1]["type"] == "ready_to_stop"
    refused = gateway.connect("language=klingon", path="/lines")
    await gateway.settle(1)
    (line,) = refused.texts
    assert line.startswith("0 error language='klingon'")
    assert refused.closed["code"] == 4400
    await gateway.shut_down()
    assert gateway.exchange.statistics.outcomes == {"complete": 2, "bad_parameter": 1}
