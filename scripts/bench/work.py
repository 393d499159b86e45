"""How many operations a window takes, counted from the model's sizes; padding does not count (core)."""

from dataclasses import dataclass
from typing import Protocol

from gpu_worker.recognizer import FRAME

from .windows import WindowShape


class Sizes(Protocol):
    """What of a model's dimensions counts."""

    n_mels: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_layer: int
    n_vocab: int
    n_text_state: int
    n_text_layer: int


@dataclass(frozen=True, slots=True)
class Work:
    """Floating-point operations of one window."""

    encoder: float
    decoder: float

    @property
    def total(self) -> float:
        """Return all of them."""
        return self.encoder + self.decoder


def columns(samples: int, context: int, group: int, tail: int) -> int:
    """Return how many columns a window becomes: its frames, a tail of silence, and one for each group of the rest."""
    kept = min(context, -(-(samples // FRAME + tail) // group) * group)
    return kept + -(-(context - kept) // group)


def work(what: WindowShape, sizes: Sizes, marks: int, heard: int, total_tokens: int) -> Work:
    """Count the operations of a decode.

    Args:
        what: the decode.
        sizes: the model's.
        marks: tokens before the text.
        heard: columns, see `columns`.
        total_tokens: tokens of text at the end, committed ones among them.
    """
    width, text_width = sizes.n_audio_state, sizes.n_text_state
    frames = what.samples // FRAME
    convolved = frames * (2 * 6 * sizes.n_mels * width + 6 * width * width)
    layer = heard * 24 * width * width + 4 * heard * heard * width
    crossed = heard * 4 * width * text_width * sizes.n_text_layer
    forced = marks + total_tokens - what.found
    passed = forced + what.drafted + what.one_by_one
    token = 28 * text_width * text_width + 4 * text_width * (heard + (forced + total_tokens) / 2)
    chosen = what.drafted + 1 + what.one_by_one
    return Work(
        encoder=convolved + sizes.n_audio_layer * layer + crossed,
        decoder=sizes.n_text_layer * passed * token + chosen * 2 * text_width * sizes.n_vocab,
    )
