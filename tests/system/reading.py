"""What many sessions send to a server with real weights, and how their words are compared with undisturbed ones."""

import itertools
from dataclasses import dataclass

import jiwer

from scripts.tools.scoring import normaliser, respelled
from shared.clips import load_clips

SAMPLE_RATE = 16_000
PAUSE = bytes(2 * SAMPLE_RATE * 6 // 10)

WORD_ERRORS, FEW = 0.06, 3
"""The most that may differ from an undisturbed session: one sentence lost or said twice is over a tenth."""
LONGEST_RUN = 2
"""The most words in a row that may be missing, or too many: a window that is cut elsewhere can turn as much around."""

_normalise = normaliser("en")


@dataclass(frozen=True, slots=True)
class Reading:
    """Sentences with a pause after each."""

    pieces: tuple[bytes, ...]
    said: str

    @property
    def pcm(self) -> bytes:
        """Return the whole."""
        return b"".join(self.pieces)

    @property
    def samples(self) -> int:
        """Return how many samples that is."""
        return len(self.pcm) // 2

    def upto(self, count: int) -> bytes:
        """Return the first sentences."""
        return b"".join(self.pieces[:count])

    def since(self, count: int) -> bytes:
        """Return the others."""
        return b"".join(self.pieces[count:])


def reading(count: int) -> Reading:
    """Return the first ``count`` of the shipped clips, one after the other, as one reading."""
    clips = load_clips()[:count]
    return Reading(tuple(clip.pcm() + PAUSE for clip in clips), " ".join(clip.text for clip in clips))


def compared(reference: str, heard: str) -> tuple[str, str]:
    """Return both texts with the words that are compared: those said apart or together ("maybe", "may be") are the same."""
    said = _normalise(reference)
    return " ".join(said), " ".join(respelled(said, _normalise(heard)))


def word_errors(reference: str, heard: str) -> float:
    """Return the share of the reference's words that were not heard as they are."""
    return jiwer.wer(*compared(reference, heard))


def check_text(undisturbed: str, heard: str) -> None:
    """Assert that a text is the undisturbed one: nothing missing, nothing twice, but for the noise of a few words."""
    reference, hypothesis = compared(undisturbed, heard)
    result = jiwer.process_words(reference, hypothesis)
    alignment = jiwer.visualize_alignment(result)
    errors = result.substitutions + result.deletions + result.insertions
    assert errors <= max(FEW, WORD_ERRORS * len(reference.split())), alignment
    for step in result.alignments[0]:
        if step.type == "delete":
            assert step.ref_end_idx - step.ref_start_idx <= LONGEST_RUN, alignment
        elif step.type == "insert":
            assert step.hyp_end_idx - step.hyp_start_idx <= LONGEST_RUN, alignment


def check_positions(words: list[tuple[str, float, float]]) -> None:
    """Assert that of words with their start and end no one begins before its predecessor has ended."""
    for before, after in itertools.pairwise(words):
        assert before[1] <= before[2] <= after[1], (before, after)
