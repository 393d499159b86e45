"""Greedy decoding of many windows at once, each with its last tail as a draft.

One pass runs a row's forced tokens and its draft. The draft is accepted up to the first token that differs from the
model's own choice, and that choice comes out of the same pass. From there all rows go on together, one token at a time,
until each has ended.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from gpu_worker.model.nn.compaction import Encoding
from gpu_worker.model.nn.decoder_api import Batch, DecodeSlot, TextDecoder, TokenSpan
from gpu_worker.model.repetition import repetition


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """One window to decode.

    Attributes:
        encoding: its audio.
        start: tokens before the text, start of transcript among them.
        sot: the index of the start of transcript in ``start``.
        committed: tokens of the text that is committed.
        draft: a guess at what follows.
        limit: the most new tokens.
        spoken: a repetition of up to this many tokens may have been said; a longer one is a loop.
    """

    encoding: Encoding
    start: Sequence[int]
    sot: int
    committed: Sequence[int]
    draft: Sequence[int]
    limit: int
    spoken: int = 0


@dataclass(frozen=True, slots=True)
class Decoded:
    """The outcome of one decode.

    Attributes:
        tokens: new tokens, without the end mark.
        logprobs: of each new token.
        accepted: how many draft tokens the model agreed with.
        ended: whether the model ended the text itself; otherwise it looped or met its limit.
        looped: whether it repeated itself.
        no_speech: probability that there is no speech.
        attention: that of the alignment heads, (heads, rows, frames); row i is where text token i was chosen.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    accepted: int
    ended: bool
    looped: bool
    no_speech: float
    attention: Tensor


@dataclass(slots=True)
class _Row:
    """A window being decoded: row ``at`` of its batch."""

    request: DecodeRequest
    at: int
    draft: Sequence[int]
    length: int = 0
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    accepted: int = 0
    no_speech: float = 0.0
    ended: bool = False
    looped: bool = False

    @property
    def forced(self) -> int:
        """Return the number of tokens that are given, not chosen by the model."""
        return len(self.request.start) + len(self.request.committed)

    def max_length(self, capacity: int) -> int:
        """Return the most tokens that the row may reach."""
        return min(self.forced + self.request.limit, capacity)

    def span(self, count: int) -> TokenSpan:
        """Return the next ``count`` tokens of the row."""
        return TokenSpan(self.at, self.length, count)

    def add(self, token: int, logprob: float, eot: int) -> None:
        """Append a chosen token."""
        if token == eot:
            self.ended = True
            return
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.looped = repetition(self.tokens, self.request.spoken) > 0

    def going(self, capacity: int) -> bool:
        """Return True if there is a next token to choose."""
        full = len(self.tokens) >= self.request.limit or self.length >= self.max_length(capacity)
        return not (self.ended or self.looped or full)

    def result(self, batch: Batch) -> Decoded | Exception:
        """Return the outcome, or an error if a value is not a number."""
        if any(map(math.isnan, self.logprobs)) or math.isnan(self.no_speech):
            return FloatingPointError("the model answered with values that are no numbers")
        return Decoded(
            tokens=tuple(self.tokens),
            logprobs=tuple(self.logprobs),
            accepted=self.accepted,
            ended=self.ended,
            looped=self.looped,
            no_speech=self.no_speech,
            attention=batch.attention(self.at, self.length - len(self.request.start) + 1),
        )


def decode(decoder: TextDecoder, requests: Sequence[DecodeRequest]) -> list[Decoded | Exception]:
    """Decode all windows; an exception takes the place of one with a value that is not a number.

    Raises:
        ValueError: a window's tokens do not fit the model.
    """
    rows = [_row(decoder, at, request) for at, request in enumerate(requests)]
    if not rows:
        return []
    batch = decoder.begin(
        [DecodeSlot(row.request.encoding, row.max_length(decoder.capacity), len(row.request.start) - 1) for row in rows]
    )
    _verify(decoder, rows, batch)
    while active := [row for row in rows if row.going(decoder.capacity)]:
        _advance(decoder, active, batch)
    return [row.result(batch) for row in rows]


def _row(decoder: TextDecoder, at: int, request: DecodeRequest) -> _Row:
    forced = len(request.start) + len(request.committed)
    if forced + 1 >= decoder.capacity:
        raise ValueError(f"{forced} tokens are decided or prompted: the model holds {decoder.capacity}")
    if request.limit < 1:
        raise ValueError("the limit of new tokens is below 1")
    return _Row(request, at, request.draft[: min(decoder.capacity - forced - 1, request.limit - 1)])


def _verify(decoder: TextDecoder, rows: Sequence[_Row], batch: Batch) -> None:
    """Run forced tokens and drafts of all rows in one pass, and accept each draft as far as the model agrees."""
    inputs = [[*row.request.start, *row.request.committed, *row.draft] for row in rows]
    spans = [row.span(len(i)) for row, i in zip(rows, inputs, strict=True)]
    hidden = batch.forward(spans, [t for i in inputs for t in i])
    wanted: list[int] = []
    beginnings: list[int] = []
    starts: list[int] = []
    at = 0
    for row, tokens in zip(rows, inputs, strict=True):
        if not row.request.committed:
            beginnings.append(len(wanted))
        wanted.extend(range(at + row.forced - 1, at + len(tokens)))
        starts.append(at + row.request.sot)
        at += len(tokens)
    choice = decoder.vocabulary.choose(hidden[wanted + starts], beginnings)
    silences = decoder.vocabulary.no_speech(hidden[starts], choice.totals[-len(starts) :])
    at = 0
    for row, silence in zip(rows, silences, strict=True):
        row.no_speech = silence
        _accept(row, choice.tokens[at:], choice.logprobs[at:], decoder.vocabulary.tokens.eot)
        at += len(row.draft) + 1


def _accept(row: _Row, chosen: Sequence[int], logprobs: Sequence[float], eot: int) -> None:
    """Take the draft as far as the model agrees, and the model's own token after that."""
    for i, guess in enumerate([*row.draft, None]):
        row.add(chosen[i], logprobs[i], eot)
        if row.ended or row.looped or chosen[i] != guess:
            row.accepted = i
            break
    row.length = row.forced + row.accepted


def _advance(decoder: TextDecoder, rows: Sequence[_Row], batch: Batch) -> None:
    """Choose one more token for each row."""
    choice = batch.choose_next([row.span(1) for row in rows], [row.tokens[-1] for row in rows])
    for row, token, logprob in zip(rows, choice.tokens, choice.logprobs, strict=True):
        row.length += 1
        row.add(token, logprob, decoder.vocabulary.tokens.eot)
