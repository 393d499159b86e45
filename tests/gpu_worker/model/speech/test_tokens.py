import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper.tokenizer import get_tokenizer

from gpu_worker.model.nn.tokens import Tokens

MULTILINGUAL = Tokens(51865)
ENGLISH = Tokens(51864)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", " It's a test, isn't it? Yes - of 3.14 things!"),
        ("fr", " Où est passé l'été dernier, s'il vous plaît ?"),
        ("ru", " Съешь же ещё этих мягких французских булок."),
        ("zh", "今天天气很好,我们去公园吧。"),
        ("ja", "吾輩は猫である。名前はまだ無い。"),
    ],
)
def test_words_are_whispers(language, text):
    """Text splits into the words that whisper's tokenizer finds, whose lengths add up."""
    theirs = get_tokenizer(multilingual=True, num_languages=99, language=language, task="transcribe")
    tokens = theirs.encode(text)
    words, groups = theirs.split_to_word_tokens(tokens)
    assert MULTILINGUAL.words(tokens, language) == [(w, len(g)) for w, g in zip(words, groups, strict=True)]


@given(st.text(min_size=1, max_size=30), st.data())
def test_text_cut_anywhere_splits_without_error(text, data):
    """Tokens cut inside a character give words all the same; together they spell what the tokens spell."""
    tokens = MULTILINGUAL._base.encode(text)
    cut = tokens[: data.draw(st.integers(0, len(tokens)))]
    words = MULTILINGUAL.words(cut, "zh")
    assert sum(count for _, count in words) == len(cut)
    assert "".join(word for word, _ in words) == MULTILINGUAL.text(cut)


@given(st.lists(st.integers(0, 50256), max_size=12))
def test_any_tokens_split_without_error(tokens):
    """Tokens that spell no valid text at all are still grouped, every token once."""
    words = MULTILINGUAL.words(tokens, "en")
    assert sum(count for _, count in words) == len(tokens)


def test_a_character_cut_at_the_end_is_marked():
    """The first bytes of a character end in U+FFFD until the rest comes."""
    tokens = MULTILINGUAL._base.encode(" 🦉")
    assert MULTILINGUAL.words(tokens[:-1], "en")[-1][0].endswith("\ufffd")
    assert MULTILINGUAL.words(tokens, "en") == [(" 🦉", len(tokens))]


def test_the_start_names_language_task_and_prompt():
    """A multilingual start is prompt, start, language, task, no timestamps; it says where the start of transcript is."""
    theirs = get_tokenizer(multilingual=True, num_languages=99, language="fr", task="translate")
    assert MULTILINGUAL.start("fr", "translate", [11, 12]) == (
        [theirs.sot_prev, 11, 12, *theirs.sot_sequence_including_notimestamps],
        3,
    )
    assert ENGLISH.start("en", "transcribe", ()) == ([50257, 50362], 0)


@pytest.mark.parametrize(("language", "task"), [("fr", "transcribe"), ("en", "translate"), ("xx", "transcribe")])
def test_an_english_model_refuses_what_it_cannot(language, task):
    """Languages and tasks that the model does not have are refused by name."""
    with pytest.raises(ValueError, match="the model has no"):
        ENGLISH.start(language, task, ())


def test_an_english_model_has_one_language():
    """An .en model names English only, a multilingual one all of its languages."""
    assert ENGLISH.languages == ("en",)
    assert len(MULTILINGUAL.languages) == 99
    assert len(Tokens(51866).languages) == 100
