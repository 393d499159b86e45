import numpy as np
import pytest
import torch
from whisper.timing import dtw_cpu, median_filter

from gpu_worker.model.alignment import monotone_path, timed_words, token_boundaries
from gpu_worker.model.nn.median_filter import median
from gpu_worker.model.nn.tokens import Tokens
from gpu_worker.recognizer import FRAME

TOKENS = Tokens(51864)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (7, 7), (12, 200), (40, 30), (60, 700)])
def test_the_path_is_whispers(shape):
    """The vectorised path begins each row where whisper's own does.

    Theirs runs uncompiled here: numba's compiled one changes how many threads torch uses in this process.
    """
    cost = np.random.default_rng(3).standard_normal(shape)
    rows, columns = dtw_cpu.py_func(cost)
    starts = columns[np.diff(rows, prepend=-1) > 0]
    assert monotone_path(cost) == starts.tolist()


@pytest.mark.parametrize("frames", [1, 3, 4, 7, 8, 100])
def test_the_median_is_whispers(frames):
    """Seven neighbours give the value that whisper's sort finds in their middle, ends and short rows included."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randint(0, 9, (3, 20, frames), generator=generator).float()  # many equal values among them
    assert torch.equal(median(x), median_filter(x, 7))


def test_attention_that_walks_gives_its_steps():
    """Tokens that each attend to their own ten frames begin at those frames."""
    attention = torch.full((2, 5, 50), 1e-4)
    for token in range(5):
        attention[:, token, 10 * token : 10 * token + 10] = 1.0
    assert token_boundaries(attention, 4) == [0, 10, 20, 30, 40]


def test_without_a_row_for_the_end_the_last_token_still_ends():
    """A decode that met its limit has no row that chose the end; the boundaries are as many all the same."""
    attention = torch.full((2, 4, 40), 1e-4)
    for token in range(4):
        attention[:, token, 10 * token : 10 * token + 10] = 1.0
    boundaries = token_boundaries(attention, 4)
    assert len(boundaries) == 5
    assert boundaries == sorted(boundaries)
    assert boundaries[-1] <= 40


def test_no_tokens_have_no_words():
    """Silence has no words and no times."""
    assert timed_words(TOKENS, [], 0, token_boundaries(torch.ones(2, 1, 9), 0), start=0, language="en") == ()


def test_a_word_across_the_committed_boundary_keeps_both_parts():
    """Of a word whose first token is committed, the fresh part is what the new token spells."""
    text = TOKENS._base.encode(" wood") + TOKENS._base.encode("cutters")
    words = timed_words(TOKENS, text, 1, list(range(len(text) + 1)), start=6400, language="en")
    assert [(w.text, w.fresh) for w in words] == [(" woodcutters", "cutters")]
    assert (words[0].start, words[0].end) == (6400, 6400 + len(text) * FRAME)


def test_committed_words_have_nothing_fresh():
    """A word that is wholly committed has an empty fresh part, a wholly new one is all fresh."""
    text = TOKENS._base.encode(" one two")
    words = timed_words(TOKENS, text, 1, [0, 5, 9], start=0, language="en")
    assert [(w.text, w.fresh, w.first, w.last) for w in words] == [(" one", "", 0, 1), (" two", " two", 1, 2)]
