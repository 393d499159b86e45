"""Core: one step over many streams: what the model is asked, in which order, and who gets its answers.

A step asks twice: for speech in the audio that has not been judged yet, then for the words of the windows that are due.
Which windows are due depends on where speech was found, so the second call is made when the first one is answered.
The caller puts the calls to the model, on a thread of its choice, and delivers the answers::

    step = Step(lambda: streams, period=8_000)
    while call := step.next_call():
        for key, answer in zip(call.keys, call.run(recognizer), strict=True):
            step.deliver(key, answer)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpu_worker.recognition.stream import Stream
from gpu_worker.recognizer import Recognizer, VadRequest, VadResult, WindowRequest, WindowResult


@dataclass(frozen=True, slots=True)
class VadCall:
    """Asks for speech."""

    requests: Sequence[VadRequest]

    @property
    def keys(self) -> list[int]:
        """Return the stream of each request."""
        return [request.key for request in self.requests]

    def run(self, recognizer: Recognizer) -> Sequence[VadResult | Exception]:
        """Return the model's answers, in the order of the requests."""
        return recognizer.detect_speech(self.requests)


@dataclass(frozen=True, slots=True)
class DecodeCall:
    """Asks for words."""

    requests: Sequence[WindowRequest]

    @property
    def keys(self) -> list[int]:
        """Return the stream of each request."""
        return [request.key for request in self.requests]

    def run(self, recognizer: Recognizer) -> Sequence[WindowResult | Exception]:
        """Return the model's answers, in the order of the requests."""
        return recognizer.transcribe(self.requests)


ModelCall = VadCall | DecodeCall


class Step:
    """One step.

    Args:
        streams: returns the streams that the model knows, the most urgent first. It is called for each question anew,
            since streams come and go while the model works.
        period: samples of audio between two decodes of a stream.
        most: windows that are decoded together; None for no bound.
    """

    def __init__(self, streams: Callable[[], Sequence[Stream]], *, period: int, most: int | None = None) -> None:
        self._streams = streams
        self._period = period
        self._most = most
        self._calls = iter((self._listen_call, self._decode_call))
        self._asked: dict[int, Stream] = {}

    def next_call(self) -> ModelCall | None:
        """Return what the model is to be asked next, None when the step is over.

        All answers to the last call must have been delivered: they decide what is asked next.
        """
        return next((call for make in self._calls if (call := make()).requests), None)

    def deliver(self, key: int, answer: VadResult | WindowResult | Exception) -> None:
        """Give a stream the answer to its request.

        Raises:
            Exception: ``answer``, if it is one.
            ValueError: it does not fit the request.
        """
        match answer:
            case VadResult():
                self._asked[key].on_vad(answer)
            case WindowResult():
                self._asked[key].on_decode(answer)
            case Exception():
                raise answer

    def _listen_call(self) -> VadCall:
        requests: list[VadRequest] = []
        for stream in self._streams():
            if request := stream.vad_request():
                self._asked[stream.key] = stream
                requests.append(request)
        return VadCall(requests)

    def _decode_call(self) -> DecodeCall:
        requests: list[WindowRequest] = []
        for stream in self._streams():
            if len(requests) == self._most:
                break
            if request := stream.window_request(self._period):
                self._asked[stream.key] = stream
                requests.append(request)
        return DecodeCall(requests)


def run_step(streams: Sequence[Stream], recognizer: Recognizer, *, period: int, most: int | None = None) -> bool:
    """Do one step on the calling thread; return False if there was nothing to do.

    Raises:
        Exception: what the recognizer answered in place of a result.
    """
    step = Step(lambda: streams, period=period, most=most)
    worked = False
    while call := step.next_call():
        worked = True
        for key, answer in zip(call.keys, call.run(recognizer), strict=True):
            step.deliver(key, answer)
    return worked
