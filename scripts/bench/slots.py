"""A worker's slot without its sockets: a stream that is stepped by policy and model as audio comes (shell)."""

import itertools

from whisper_live_client.audio import SAMPLE_RATE

from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognition.step import DecodeCall, Step
from gpu_worker.recognition.stream import Stream
from gpu_worker.recognizer import Recognizer, WindowResult
from scripts.capacity.windows import WindowShape
from shared.messages import Finished

from .samples import Contestant, Sample, Transcription

_KEYS = itertools.count(1)  # one model serves several runs at once


class SlotRun:
    """A `Run` of this project's policy and model, with ``period_s`` of audio between two decodes."""

    def __init__(
        self, recognizer: Recognizer, period_s: float, language: str | None, task: str, sample: Sample
    ) -> None:
        key = next(_KEYS)
        self._recognizer = recognizer
        self._period = round(period_s * SAMPLE_RATE)
        self._pcm = sample.pcm
        self._transcription = Transcription(sample.audio_s)
        self._stream = Stream(
            key=key,
            lease=key,
            session=str(key),
            language=language,
            task=task,
            start=0,
            resume=None,
            policy=PolicySettings(),
        )
        recognizer.open(key)

    def bring(self, until: int) -> None:
        received = self._stream.received
        self._stream.receive(received, self._pcm[received:until].tobytes())
        while self._step():
            pass

    def finish(self) -> Transcription:
        self._stream.finish(self._stream.received)
        while self._step():
            pass
        self._recognizer.close(self._stream.key)
        return self._transcription

    def _step(self) -> bool:
        step = Step(lambda: [self._stream], period=self._period)
        worked = False
        while call := step.next_call():
            worked = True
            answers = call.run(self._recognizer)
            for key, answer in zip(call.keys, answers, strict=True):
                step.deliver(key, answer)
            if isinstance(call, DecodeCall):
                pairs = zip(call.requests, answers, strict=True)
                shapes = [WindowShape.of(asked, found) for asked, found in pairs if isinstance(found, WindowResult)]
                self._transcription.windows += shapes
        self._take()
        return worked

    def _take(self) -> None:
        stream, transcription = self._stream, self._transcription
        for message in stream.take():
            if isinstance(message, Finished):
                transcription.accounting = message.accounting
                continue
            transcription.words += message.words
            transcription.language = message.language
            transcription.held = max(transcription.held, stream.received - message.keep_from)
            transcription.show(stream.received / SAMPLE_RATE, message.tail)


def ours(
    recognizer: Recognizer, period_s: float, language: str | None, *, task: str = "transcribe", name: str = ""
) -> Contestant:
    return Contestant(
        name or f"ours, {period_s:g} s", lambda sample: SlotRun(recognizer, period_s, language, task, sample)
    )
