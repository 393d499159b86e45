"""One step over all windows that are due: encode, detect the language, decode, align; failures end one window."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from gpu_worker.model.alignment import boundaries, timed_words
from gpu_worker.model.cpu.encoder import Encoder, EncoderCache
from gpu_worker.model.decoding import Decoded, DecodeRequest, decode
from gpu_worker.model.mel import whole_frames
from gpu_worker.model.network import Network
from gpu_worker.model.nn.compaction import Encoding
from gpu_worker.model.nn.decoder_api import TextDecoder
from gpu_worker.model.repetition import spoken_tokens, without_unspoken
from gpu_worker.recognizer import FRAME, WindowRequest, WindowResult
from shared.messages import SAMPLE_RATE

FAILURES = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""Raised by a bad request, or by torch while it runs one; they end that request and no other."""

Decode = Callable[[TextDecoder, Sequence[DecodeRequest]], list[Decoded | Exception]]

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class DecodeSettings:
    """Bounds of one decode.

    Attributes:
        least_tokens: the limit of new tokens is at least this.
        spare_tokens: new tokens allowed in addition to those of the window's length.
        tokens_per_s: new tokens allowed for each second of the window.
        prompt_tokens: most tokens of a prompt, the last ones.
    """

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
class _Encoded:
    window: _Window
    encoding: Encoding
    language: str


class Step:
    """Takes windows from samples to words on one network.

    Attributes:
        fallbacks: how many windows looped or did not end, and were encoded again without compaction.
        decode: decodes the windows of a step; a wrapper may be put in its place to watch them.
    """

    def __init__(self, network: Network, settings: DecodeSettings) -> None:
        self.fallbacks = 0
        self.decode: Decode = decode
        self._network = network
        self._settings = settings
        self._caches: dict[int, EncoderCache | None] = {}

    def open(self, key: int) -> None:
        """Reuse a stream's encoded frames from step to step, where the encoder's settings say so."""
        self._caches[key] = None

    def close(self, key: int) -> None:
        self._caches.pop(key, None)

    def run(self, requests: Sequence[WindowRequest]) -> list[WindowResult | Exception]:
        """Answer each request in its place."""
        answers: dict[int, WindowResult | Exception] = {}
        pending: dict[int, _Window] = {}
        for i, window in enumerate(_all_or_each(self._spectra, requests)):
            if isinstance(window, Exception):
                answers[i] = window
            elif window.mel.shape[1] == 0:
                answers[i] = self._empty_result(window.request)
            else:
                pending[i] = window
        answers.update(zip(pending, self._attempt(list(pending.values()), full=False), strict=True))
        return [answers[i] for i in range(len(requests))]

    def _attempt(self, windows: Sequence[_Window], *, full: bool) -> list[WindowResult | Exception]:
        """Return a result for each window; those that loop or do not end are repeated without compaction."""
        encoded = _all_or_each(lambda some: self._encode(some, full=full), windows)
        decoded = _past_errors(lambda some: self._decode(some, full=full), encoded)
        answers = _past_errors(self._results, [_pair(*each) for each in zip(encoded, decoded, strict=True)])
        again = [
            i
            for i, outcome in enumerate(decoded)
            if not isinstance(outcome, Exception) and (outcome.looped or not outcome.ended) and not full
        ]
        if again:
            self.fallbacks += len(again)
            for i in again:  # reused frames may be the cause
                self._forget(windows[i].request.key)
            for i, answer in zip(again, self._attempt([windows[i] for i in again], full=True), strict=True):
                answers[i] = answer
        return answers

    def _spectra(self, requests: Sequence[WindowRequest]) -> list[_Window]:
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

    def _encode(self, windows: Sequence[_Window], *, full: bool) -> list[_Encoded]:
        """Encode windows, and detect the language where none is given."""
        encoder = self._network.encoder
        if isinstance(encoder, Encoder) and encoder.keeps and not full:
            encodings = self._encode_incrementally(encoder, windows)
        else:
            encodings = encoder.encode([w.mel for w in windows], full=full)
        pairs = list(zip(windows, encodings, strict=True))
        found = iter(self._network.detect([e for w, e in pairs if w.request.language is None]))
        return [_Encoded(w, e, w.request.language or next(found)) for w, e in pairs]

    def _encode_incrementally(self, encoder: Encoder, windows: Sequence[_Window]) -> list[Encoding]:
        """Encode each window with the frames cached for its stream.

        The caches are taken out first and put back after, so that an error half-way leaves no half-written one. A
        stream's second window in one step finds no cache and leaves none.
        """
        taken: dict[int, EncoderCache | None] = {}
        for key in {w.request.key for w in windows} & self._caches.keys():
            taken[key] = self._caches[key]
            self._caches[key] = None
        encodings: list[Encoding] = []
        for window in windows:
            key = window.request.key
            request = window.request
            encoding, cache = encoder.encode_on(window.mel, request.start, taken.pop(key, None), reuse=request.reuse)
            encodings.append(encoding)
            if key in self._caches and self._caches[key] is None:
                self._caches[key] = cache
        return encodings

    def _forget(self, key: int) -> None:
        if key in self._caches:
            self._caches[key] = None

    def _decode(self, windows: Sequence[_Encoded], *, full: bool) -> list[Decoded | Exception]:
        """Decode windows. What looks like a loop is believed to be one until the window was encoded in ``full``."""
        requests = []
        for encoded in windows:
            asked = encoded.window.request
            prompt = asked.prompt[-self._settings.prompt_tokens :]
            start, sot = self._network.tokens.start(encoded.language, asked.task, prompt)
            samples = encoded.encoding.frames * FRAME
            limit = self._settings.limit(samples, len(asked.committed))
            spoken = spoken_tokens(samples / SAMPLE_RATE) if full else 0
            requests.append(DecodeRequest(encoded.encoding, start, sot, asked.committed, asked.draft, limit, spoken))
        return self.decode(self._network.decoder, requests)

    def _results(self, pairs: Sequence[tuple[_Encoded, Decoded]]) -> list[WindowResult]:
        """Align the words with the audio; of a repetition at the end those copies are kept that it can have held."""
        totals = [len(encoded.window.request.committed) + len(decoded.tokens) for encoded, decoded in pairs]
        times = boundaries([decoded.attention for _, decoded in pairs], totals)
        return [self._result(*pair, at) for pair, at in zip(pairs, times, strict=True)]

    def _result(self, encoded: _Encoded, decoded: Decoded, times: Sequence[int]) -> WindowResult:
        asked = encoded.window.request
        count = without_unspoken(decoded.tokens, times[len(asked.committed) :])
        text = [*asked.committed, *decoded.tokens[:count]]
        written = "en" if asked.task == "translate" else encoded.language
        return WindowResult(
            tokens=decoded.tokens[:count],
            logprobs=decoded.logprobs[:count],
            words=timed_words(
                self._network.tokens, text, len(asked.committed), times, start=asked.start, language=written
            ),
            end=asked.start + encoded.encoding.frames * FRAME,
            no_speech=decoded.no_speech,
            looped=decoded.looped or count < len(decoded.tokens),
            language=encoded.language,
            accepted=min(decoded.accepted, count),
        )

    def _empty_result(self, request: WindowRequest) -> WindowResult:
        """Answer a window that is shorter than one frame."""
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


def _all_or_each(
    work: Callable[[Sequence[_Item]], Sequence[_Answer | Exception] | Sequence[_Answer]], items: Sequence[_Item]
) -> list[_Answer | Exception]:
    """Do all items at once; if that fails do each alone, so that only the item at fault fails."""
    if not items:
        return []
    try:
        return list(work(items))
    except FAILURES as error:
        if len(items) == 1:
            return [error]
    return [answer for item in items for answer in _all_or_each(work, [item])]


def _past_errors(
    work: Callable[[Sequence[_Item]], Sequence[_Answer | Exception] | Sequence[_Answer]],
    items: Sequence[_Item | Exception],
) -> list[_Answer | Exception]:
    """Do all items that are not errors yet; errors stay in their places."""
    done = iter(_all_or_each(work, [item for item in items if not isinstance(item, Exception)]))
    return [item if isinstance(item, Exception) else next(done) for item in items]


def _pair(encoded: _Encoded | Exception, decoded: Decoded | Exception) -> tuple[_Encoded, Decoded] | Exception:
    if isinstance(encoded, Exception):
        return encoded
    return decoded if isinstance(decoded, Exception) else (encoded, decoded)
