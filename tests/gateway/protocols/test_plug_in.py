"""A protocol that only this file knows is served beside ours: lines of text instead of JSON."""

import asyncio

from gateway.protocols import PROTOCOLS
from gateway.protocols.base import AudioEnded, AudioReceived, ClientProtocol, Handshake, Rejected
from gateway.sessions.client_session import SessionOptions
from tests.gateway.transport.test_client_connection import Hall
from tests.scripted_recognizer import say


class LineProtocol(ClientProtocol):
    """Each line says one thing: ``hello``, ``status``, ``word``, ``error``, ``bye``."""

    def __init__(self, transcript, queue):
        self._transcript, self._queue, self._told = transcript, queue, 0

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
        for word in words[self._told :]:
            self._queue.enqueue(f"word {word}")
        self._told = len(words)

    def rejected(self, sentence):
        self._queue.enqueue(f"error {sentence}")

    def failed(self, error):
        self._queue.enqueue(f"error {error.message}")

    def completed(self, accounting):
        self._queue.enqueue(f"bye {accounting.received}")

    def replay(self, last_seq):
        self._told = 0


class Lines:
    """Serves `LineProtocol`; ``?language=`` is all that can be asked for."""

    def open(self, request):
        return Handshake(SessionOptions(request.query.get("language")), LineProtocol)

    def refusal(self, error):
        return f"0 error {error.message}"


def test_a_session_in_a_protocol_of_its_own():
    """Words, errors and the end come in its form; a refusal too; the other protocols are served beside it."""

    async def told():
        hall = Hall(protocols=PROTOCOLS | {"/lines": Lines()})
        peer, stock = hall.peer("language=en", path="/lines"), hall.peer()
        speech = say(["one", "two", "river", 0.8])
        peer.bring(speech.pcm.tobytes(), "nonsense", "end")
        stock.bring(speech.pcm.tobytes(), b"")
        await hall.rest(20)
        lines = [each["text"].split(" ", 1) for each in peer.outgoing if each["type"] == "websocket.send"]
        assert [int(number) for number, _ in lines] == list(range(1, len(lines) + 1))
        told = [line for _, line in lines]
        assert told[0] == "hello scripted"
        assert [line for line in told if line.startswith("word ")] == ["word one", "word two", "word river"]
        assert "error what is nonsense?" in told
        assert told[-1] == f"bye {len(speech.pcm)}"
        assert stock.messages[-1]["type"] == "ready_to_stop"
        refused = hall.peer("language=klingon", path="/lines")
        await hall.rest(1)
        (line,) = [each["text"] for each in refused.outgoing if each["type"] == "websocket.send"]
        assert line.startswith("0 error language='klingon'")
        assert refused.closed["code"] == 4400
        await hall.empty()
        assert hall.exchange.statistics.outcomes == {"complete": 2, "bad_parameter": 1}

    asyncio.run(told())
