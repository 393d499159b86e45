"""Core: one step over many streams: the calls to the model, and the delivery of its answers.

A step makes two calls: it detects speech in the audio that has not been judged yet, then transcribes the windows that
are due. Which windows are due depends on where speech was found, so the second call waits for the first one's answers.
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
    """One step over the streams of a worker.

    Args:
        streams: returns the streams that are open in the model, the most urgent first. It is called before each of the
            two calls, since streams come and go while the model works.
        period: samples of audio between two decodes of a stream.
        most: the most windows that are decoded together; None for no bound.
    """

    def __init__(self, streams: Callable[[], Sequence[Stream]], *, period: int, most: int | None = None) -> None:
        self._streams = streams
        self._period = period
        self._most = most
        self._calls = iter((self._vad_call, self._decode_call))
        self._by_key: dict[int, Stream] = {}

    def next_call(self) -> ModelCall | None:
        """Return the next call to the model, None when the step is over.

        All answers to the last call must have been delivered: they decide the next one.
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
                self._by_key[key].on_vad(answer)
            case WindowResult():
                self._by_key[key].on_decode(answer)
            case Exception():
                raise answer

    def _vad_call(self) -> VadCall:
        requests: list[VadRequest] = []
        for stream in self._streams():
            if request := stream.vad_request():
                self._by_key[stream.key] = stream
                requests.append(request)
        return VadCall(requests)

    def _decode_call(self) -> DecodeCall:
        requests: list[WindowRequest] = []
        for stream in self._streams():
            if len(requests) == self._most:
                break
            if request := stream.window_request(self._period):
                self._by_key[stream.key] = stream
                requests.append(request)
        return DecodeCall(requests)


def run_step(streams: Sequence[Stream], recognizer: Recognizer, *, period: int, most: int | None = None) -> bool:
    """Run one step on the calling thread; return False if there was nothing to do.

    Raises:
        Exception: the recognizer answered with it in place of a result.
    """
    step = Step(lambda: streams, period=period, most=most)
    worked = False
    while call := step.next_call():
        worked = True
        for key, answer in zip(call.keys, call.run(recognizer), strict=True):
            step.deliver(key, answer)
    return worked
