"""From hidden states to tokens, and back."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from gpu_worker.model.blocks import State
from gpu_worker.model.linear import Precision, linear
from gpu_worker.model.tokens import Tokens

_CANDIDATES = 8
"""Best tokens of a rounded product that are scored again exactly; the true best was always among them."""


class Vocabulary:
    """The token embedding, which Whisper uses both ways.

    Only text tokens and the end of text can be said, so only their columns are computed; timestamps and other marks
    are never suppressed because they are never there.
    """

    def __init__(self, state: State, tokens: Tokens, precision: Precision, device: torch.device) -> None:
        self.tokens = tokens
        embedding = state["decoder.token_embedding.weight"]
        self._exact = precision.vocabulary == "fp32"
        self._embedding = embedding.to(device, torch.float32 if self._exact else embedding.dtype, copy=True)
        self._text = linear(self._embedding[: tokens.eot + 1], None, precision.vocabulary, device)
        self._marks = self._embedding[tokens.eot + 1 :].float()
        self._suppressed = torch.tensor(tokens.suppressed, device=device)
        self._not_first = torch.tensor(tokens.not_first, device=device)
        self._device = device

    def embed(self, tokens: Sequence[int]) -> Tensor:
        """Return the embeddings of tokens, (tokens, width) in fp32."""
        return F.embedding(torch.tensor(tokens, device=self._device), self._embedding).float()

    def choose(
        self, hidden: Tensor, beginnings: Sequence[int], starts: int = 0
    ) -> tuple[list[int], list[float], list[float]]:
        """Pick the likeliest token after each row.

        Args:
            hidden: (rows, width), normalised; the last ``starts`` of them are at a start of transcript.
            beginnings: rows that a transcript begins after; it cannot begin with a blank or with its end.
            starts: how many rows, at the end, are asked only whether there is speech.

        Returns:
            the tokens and their log-probabilities, and for each start the probability that there is no speech.
        """
        logits = self._text(hidden).float()
        asked = len(hidden) - starts
        silences = self._no_speech(hidden[asked:], logits[asked:]) if starts else []
        logits = logits[:asked].index_fill_(1, self._suppressed, float("-inf"))
        if beginnings:
            rows = torch.tensor(beginnings, device=self._device)
            logits[rows[:, None], self._not_first] = float("-inf")
        if self._exact:
            best, chosen = logits.max(-1)
            total = logits.logsumexp(-1)
        else:
            best, chosen, total = self._score_again(hidden[:asked], logits)
        return chosen.tolist(), (best - total).tolist(), silences

    def languages(self, hidden: Tensor) -> Tensor:
        """Return the probability of each language, (rows, languages), from rows at a start of transcript."""
        count = len(self.tokens.languages)
        first = self.tokens.sot - self.tokens.eot  # marks begin one after the end of text, languages one after sot
        return (hidden @ self._marks[first : first + count].T).softmax(-1)

    def _score_again(self, hidden: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Choose among the best of a rounded product by their exact scores; answer score, token, and log total."""
        rounded, candidates = logits.topk(_CANDIDATES, -1)
        scores = torch.einsum("rcw,rw->rc", self._embedding[candidates].float(), hidden)
        scores.masked_fill_(rounded.isneginf(), float("-inf"))
        best, at = scores.max(-1)
        rest = logits.scatter_(1, candidates, float("-inf")).logsumexp(-1)
        return best, candidates.gather(1, at[:, None])[:, 0], torch.logaddexp(rest, scores.logsumexp(-1))

    def _no_speech(self, hidden: Tensor, text: Tensor) -> list[float]:
        """Return the probability of the no-speech mark among all tokens, nothing suppressed."""
        marks = hidden @ self._marks.T
        total = torch.logaddexp(text.logsumexp(-1), marks.logsumexp(-1))
        silences: list[float] = (marks[:, self.tokens.no_speech - self.tokens.eot - 1] - total).exp().tolist()
        return silences
