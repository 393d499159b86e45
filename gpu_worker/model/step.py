"""One step over all windows that are due: encode, detect, decode, time; what fails, fails alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from gpu_worker.guards import without_repeats
from gpu_worker.model.alignment import boundaries, timed_words
from gpu_worker.model.batch import TextDecoder
from gpu_worker.model.columns import Encoding
from gpu_worker.model.decoding import Decoded, DecodeRequest, decode
from gpu_worker.model.encoder import Encoder, Kept
from gpu_worker.model.mel import whole_frames
from gpu_worker.model.network import Network
from gpu_worker.recognizer import FRAME, WindowRequest, WindowResult

FAILURES = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""What a bad request, or torch on its behalf, can raise; it ends that request and no other."""

Decode = Callable[[TextDecoder, Sequence[DecodeRequest]], list[Decoded | Exception]]

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class DecodeSettings:
    """Bounds of one decode: new tokens at least, to spare, and for each second of the window; prompt tokens."""

    least_tokens: int = 8
    spare_tokens: int = 10
    tokens_per_s: int = 8
    prompt_tokens: int = 223

    def limit(self, samples: int, committed: int) -> int:
        """Return the most new tokens of a window."""
        return max(self.least_tokens, self.spare_tokens + self.tokens_per_s * samples // 16_000 - committed)


@dataclass(frozen=True, slots=True)
class _Window:
    request: WindowRequest
    mel: Tensor


@dataclass(frozen=True, slots=True)
class _Heard:
    window: _Window
    encoding: Encoding
    language: str


class Step:
    """Takes windows from samples to words on one network.

    Attributes:
        fallbacks: how many windows looped or would not end, and were encoded again with nothing compacted.
        decode: decodes the windows of a step; whoever watches the decodes puts a wrapper in its place.
    """

    def __init__(self, network: Network, settings: DecodeSettings) -> None:
        self.fallbacks = 0
        self.decode: Decode = decode
        self._network = network
        self._settings = settings
        self._kept: dict[int, Kept | None] = {}

    def open(self, key: int) -> None:
        """Keep what is encoded for a stream from step to step, where the encoder's settings say so."""
        self._kept[key] = None

    def close(self, key: int) -> None:
        """Forget a stream."""
        self._kept.pop(key, None)

    def run(self, requests: Sequence[WindowRequest]) -> list[WindowResult | Exception]:
        """Answer each request in its place."""
        answers: dict[int, WindowResult | Exception] = {}
        going: dict[int, _Window] = {}
        for i, window in enumerate(_together(self._look, requests)):
            if isinstance(window, Exception):
                answers[i] = window
            elif window.mel.shape[1] == 0:
                answers[i] = self._nothing(window.request)
            else:
                going[i] = window
        answers.update(zip(going, self._attempt(list(going.values()), full=False), strict=True))
        return [answers[i] for i in range(len(requests))]

    def _attempt(self, windows: Sequence[_Window], *, full: bool) -> list[WindowResult | Exception]:
        """Take windows all the way; those that go wrong with their silence compacted go once more without."""
        heard = _together(lambda some: self._hear(some, full=full), windows)
        said = _through(self._decode, heard)
        answers = _through(self._results, [_paired(*each) for each in zip(heard, said, strict=True)])
        again = [
            i
            for i, one in enumerate(said)
            if not isinstance(one, Exception) and (one.looped or not one.ended) and not full
        ]
        if again:
            self.fallbacks += len(again)
            for i in again:  # what was kept may be what went wrong
                self._forget(windows[i].request.key)
            for i, answer in zip(again, self._attempt([windows[i] for i in again], full=True), strict=True):
                answers[i] = answer
        return answers

    def _look(self, requests: Sequence[WindowRequest]) -> list[_Window]:
        for request in requests:
            self._check(request)
        mels = self._network.spectrum.raws([(request.pcm, request.context) for request in requests])
        return [_Window(request, mel) for request, mel in zip(requests, mels, strict=True)]

    def _check(self, request: WindowRequest) -> None:
        if request.start % FRAME:
            raise ValueError(f"the window's start {request.start} is no multiple of {FRAME}")
        if not 0 <= request.context <= len(request.pcm):
            raise ValueError(f"{request.context} samples of context in {len(request.pcm)}")
        frames = whole_frames(len(request.pcm) - request.context)
        if frames > self._network.encoder.capacity:
            raise ValueError(f"the window has {frames} frames; the model hears {self._network.encoder.capacity}")

    def _hear(self, windows: Sequence[_Window], *, full: bool) -> list[_Heard]:
        """Encode windows, and find the language of those that have none yet."""
        encoder = self._network.encoder
        if isinstance(encoder, Encoder) and encoder.keeps and not full:
            encodings = self._encode_on(encoder, windows)
        else:
            encodings = encoder.encode([w.mel for w in windows], full=full)
        pairs = list(zip(windows, encodings, strict=True))
        found = iter(self._network.detect([e for w, e in pairs if w.request.language is None]))
        return [_Heard(w, e, w.request.language or next(found)) for w, e in pairs]

    def _encode_on(self, encoder: Encoder, windows: Sequence[_Window]) -> list[Encoding]:
        """Encode each window on what is kept of its stream.

        What is kept is forgotten first and put back after: an error half-way leaves nothing half-written behind. A
        stream's second window in one step finds nothing, and does not disturb the first.
        """
        held: dict[int, Kept | None] = {}
        for key in {w.request.key for w in windows} & self._kept.keys():
            held[key] = self._kept[key]
            self._kept[key] = None
        encodings: list[Encoding] = []
        for window in windows:
            key = window.request.key
            request = window.request
            encoding, kept = encoder.encode_on(window.mel, request.start, held.pop(key, None), reuse=request.reuse)
            encodings.append(encoding)
            if key in self._kept and self._kept[key] is None:
                self._kept[key] = kept
        return encodings

    def _forget(self, key: int) -> None:
        if key in self._kept:
            self._kept[key] = None

    def _decode(self, heard: Sequence[_Heard]) -> list[Decoded | Exception]:
        requests = []
        for one in heard:
            asked = one.window.request
            prompt = asked.prompt[-self._settings.prompt_tokens :]
            start, sot = self._network.tokens.start(one.language, asked.task, prompt)
            limit = self._settings.limit(one.encoding.frames * FRAME, len(asked.committed))
            requests.append(DecodeRequest(one.encoding, start, sot, asked.committed, asked.draft, limit))
        return self.decode(self._network.decoder, requests)

    def _results(self, pairs: Sequence[tuple[_Heard, Decoded]]) -> list[WindowResult]:
        """Time the words; of a repetition one copy is left."""
        kept = [without_repeats(said.tokens) for _, said in pairs]
        counts = [len(heard.window.request.committed) + own for (heard, _), own in zip(pairs, kept, strict=True)]
        times = boundaries([said.trace for _, said in pairs], counts)
        return [self._result(*pair, own, at) for pair, own, at in zip(pairs, kept, times, strict=True)]

    def _result(self, heard: _Heard, said: Decoded, kept: int, times: Sequence[int]) -> WindowResult:
        asked = heard.window.request
        text = [*asked.committed, *said.tokens[:kept]]
        written = "en" if asked.task == "translate" else heard.language
        return WindowResult(
            tokens=said.tokens[:kept],
            logprobs=said.logprobs[:kept],
            words=timed_words(
                self._network.tokens, text, len(asked.committed), times, start=asked.start, language=written
            ),
            end=asked.start + heard.encoding.frames * FRAME,
            no_speech=said.no_speech,
            looped=said.looped,
            language=heard.language,
            accepted=min(said.accepted, kept),
        )

    def _nothing(self, request: WindowRequest) -> WindowResult:
        """Answer a window too short to hold one frame."""
        return WindowResult(
            tokens=(),
            logprobs=(),
            words=(),
            end=request.start,
            no_speech=1.0,
            looped=False,
            language=request.language or self._network.tokens.languages[0],
            accepted=0,
        )


def _together(
    work: Callable[[Sequence[_Item]], Sequence[_Answer | Exception] | Sequence[_Answer]], items: Sequence[_Item]
) -> list[_Answer | Exception]:
    """Do all items in one go; if that fails do each alone, so that only what is at fault fails."""
    if not items:
        return []
    try:
        return list(work(items))
    except FAILURES as error:
        if len(items) == 1:
            return [error]
    return [answer for item in items for answer in _together(work, [item])]


def _through(
    work: Callable[[Sequence[_Item]], Sequence[_Answer | Exception] | Sequence[_Answer]],
    items: Sequence[_Item | Exception],
) -> list[_Answer | Exception]:
    """Do all items that are not errors yet; errors stay in their places."""
    done = iter(_together(work, [item for item in items if not isinstance(item, Exception)]))
    return [item if isinstance(item, Exception) else next(done) for item in items]


def _paired(heard: _Heard | Exception, said: Decoded | Exception) -> tuple[_Heard, Decoded] | Exception:
    if isinstance(heard, Exception):
        return heard
    return said if isinstance(said, Exception) else (heard, said)
