"""Embed tokens, and choose tokens from hidden states."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from gpu_worker.model.nn.blocks import State
from gpu_worker.model.nn.linear import Precision, bucket, linear
from gpu_worker.model.nn.pinned_copy import to_device
from gpu_worker.model.nn.tokens import Tokens

_CANDIDATES = 8
"""Best tokens of a rounded product that are scored again in fp32; in measurements the true best was among them."""


_ROWS = 32
"""Rows that a CPU scores together: their logits, 6 MB, then stay in the processor's cache."""

_ROWS_CUDA = 1024
"""Rows that CUDA scores together: their logits are 200 MB."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The likeliest token after each row, its log-probability, and the logarithm of the sum over all allowed ones."""

    tokens: list[int]
    logprobs: list[float]
    totals: Tensor


class Vocabulary:
    """The token embedding, which Whisper uses both ways.

    Only text tokens and the end of text can be chosen, so only their columns are computed: timestamps and other marks
    need no suppressing. The product's bias excludes the text tokens that are never chosen.
    """

    def __init__(self, state: State, tokens: Tokens, precision: Precision, device: torch.device) -> None:
        self.tokens = tokens
        embedding = state["decoder.token_embedding.weight"]
        self._device = device
        self._rows = _ROWS_CUDA if device.type == "cuda" else _ROWS
        self._exact = precision.vocabulary == "fp32"
        self._embedding = embedding.to(device, torch.float32 if self._exact else embedding.dtype, copy=True)
        excluded = torch.zeros(tokens.eot + 1)
        excluded[list(tokens.suppressed)] = float("-inf")
        self._text = linear(self._embedding[: tokens.eot + 1], excluded, precision.vocabulary, device)
        self._not_first = torch.tensor(tokens.not_first, device=device)
        self._marks = self._embedding[tokens.eot + 1 :].float()
        suppressed = torch.tensor(tokens.suppressed, device=device)
        self._never_chosen = torch.cat([self._marks, self._embedding[suppressed].float()])

    def embed(self, tokens: Sequence[int]) -> Tensor:
        """Return the embeddings of tokens, (tokens, width) in fp32."""
        return self.embedded(to_device(np.array(tokens, dtype=np.int64), self._device))

    def embedded(self, tokens: Tensor) -> Tensor:
        """Return the embeddings of tokens on the device, in fp32; the width is added as the last dimension."""
        return F.embedding(tokens, self._embedding).float()

    def choose(self, hidden: Tensor, beginnings: Sequence[int] = ()) -> Choice:
        """Pick the likeliest token after each row.

        Args:
            hidden: (rows, width), normalised.
            beginnings: rows after which a transcript begins; it cannot begin with a blank or with its end.
        """
        parts = [
            self.score(hidden[at : at + self._rows], [row - at for row in beginnings if 0 <= row - at < self._rows])
            for at in range(0, len(hidden), self._rows)
        ]
        scored = torch.cat(parts, 1)
        tokens, logprobs, _ = scored.tolist()
        return Choice([int(token) for token in tokens], logprobs, scored[2])

    def score(self, hidden: Tensor, beginnings: Sequence[int] = ()) -> Tensor:
        """Return the same as `choose`, in one tensor, (3, rows): token, log-probability, and the sum's logarithm.

        One tensor is one transfer; a token's number is exact in fp32.
        """
        logits = self._logits(hidden)
        if beginnings:
            begins = to_device(np.array(beginnings, dtype=np.int64), self._device)
            logits[begins[:, None], self._not_first] = float("-inf")
        best, token, total = self._best(hidden, logits)
        return torch.stack([token.float(), best - total, total])

    def no_speech(self, hidden: Tensor, totals: Tensor) -> list[float]:
        """Return the probability that there is no speech, of rows at a start of transcript.

        It is a share of all tokens, including those that are never chosen; ``totals`` is the rows' sum over the others.
        """
        others = hidden @ self._never_chosen.T
        mark = others[:, self.tokens.no_speech - self.tokens.eot - 1]
        silences: list[float] = (mark - torch.logaddexp(totals, others.logsumexp(-1))).exp().tolist()
        return silences

    def languages(self, hidden: Tensor) -> Tensor:
        """Return the probability of each language, (rows, languages), from rows at a start of transcript."""
        count = len(self.tokens.languages)
        first = self.tokens.sot - self.tokens.eot  # marks begin one after the end of text, languages one after sot
        return (hidden @ self._marks[first : first + count].T).softmax(-1)

    def _logits(self, hidden: Tensor) -> Tensor:
        padded = F.pad(hidden, (0, 0, 0, bucket(len(hidden)) - len(hidden)))
        return self._text(padded)[: len(hidden)].float()

    def _best(self, hidden: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return each row's best score, its token, and the logarithm of the sum over all tokens.

        A rounded product only finds candidates, which are scored again in fp32.
        """
        total = logits.logsumexp(-1)
        if self._exact:
            best, token = logits.max(-1)
            return best, token, total
        rounded, candidates = logits.topk(_CANDIDATES, -1)
        scores = torch.einsum("rcw,rw->rc", self._embedding[candidates].float(), hidden)
        scores.masked_fill_(rounded.isneginf(), float("-inf"))
        best, at = scores.max(-1)
        # The candidates' part of the total is exchanged for the exact one; what is left of a sum in fp32 is no less
        # than its rounding.
        rest = (1.0 - (rounded - total[:, None]).exp().sum(-1)).clamp(min=1e-7).log() + total
        return best, candidates.gather(1, at[:, None])[:, 0], torch.logaddexp(rest, scores.logsumexp(-1))
