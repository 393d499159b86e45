"""scripts/bench_engine --set everyday: its material is the same each time, and is scored as a reader would."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from scripts.bench.cli import command
from scripts.bench.everyday import RowFigures, scored
from scripts.bench.everyday_material import make_corpus, without_pauses
from scripts.bench.everyday_rows import JFK, ROWS, Recorded, Row, Spoken, clipped, quiet
from scripts.tools import synthesis
from scripts.tools.scoring import normaliser, respelled
from shared.clips import load_clips

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is missing")
RECORDED = [row for row in ROWS if not any(isinstance(part, Spoken) for each in row.sessions for part in each)]


def texts(row):
    """Return what is said in a row."""
    known = {clip.id: clip.text for clip in load_clips()} | {JFK: " ".join(["word"] * 22)}
    parts = [part for session in row.sessions for part in session]
    return [known[part.id] if isinstance(part, Recorded) else without_pauses(part.text) for part in parts]


def samples(utterance):
    """Return an utterance's audio as numbers."""
    return np.frombuffer(utterance.pcm, "<i2")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_has_words_enough(row):
    """A point of a row's error rate is not less than a word of it by much: nobody should read chance as a difference."""
    words = sum(len(normaliser("en")(text)) for text in texts(row))
    assert 60 <= words <= 200
    assert not any("[" in text for text in texts(row))


def test_the_kinds_that_people_try_are_all_there():
    """Names are distinct, as --clips chooses by them, and there are both recordings and sentences."""
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    for kind in (
        *("famous", "pauses", "repeated", "letters", "numbers", "short answers", "whispered", "clipped", "quiet"),
        *("abbreviations", "slow", "quick", "voices"),
    ):
        assert any(kind in name for name in names), kind
    assert len(RECORDED) >= 4


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: row.name)
def test_recordings_are_made_without_a_synthesizer(monkeypatch, row):
    """They need no espeak-ng, differ by their ids, and are as long as the recording with its pauses."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    corpus = make_corpus(row)
    ids = [each.id for session in corpus.lists for each in session]
    assert len(set(ids)) == len(ids)
    lengths = {clip.id: clip.duration_s for clip in load_clips()} | {JFK: 11.0}
    for session, made in zip(row.sessions, corpus.lists, strict=True):
        for part, utterance in zip(session, made, strict=True):
            wanted_s = lengths[part.id] + sum(seconds for _, seconds in part.pauses)
            assert utterance.samples / 16_000 == pytest.approx(wanted_s, abs=0.01)
    assert corpus.lists == make_corpus(row).lists


def test_a_pause_is_between_two_words():
    """It is silence where the word has ended, and nothing of the recording is lost or said twice."""
    clip = load_clips()[0]
    [[plain], [cut]] = make_corpus(Row("r", ((Recorded(clip.id),), (Recorded(clip.id, ((4, 1.0),)),)))).lists
    at = round((clip.words[3][1] + 0.02) * 16_000)
    heard = samples(cut)
    assert not heard[at : at + 16_000].any()
    assert np.array_equal(np.delete(heard, slice(at, at + 16_000)), samples(plain))


@needs_espeak
def test_sentences_are_said_with_their_pauses():
    """A pause in brackets is silence and no words; the same text gives the same samples."""
    row = Row("r", ((Spoken("Go home [1.5] now."),), (Spoken("Go home now.", "en-us+whisper"),)))
    [[paused], [whispered]] = make_corpus(row).lists
    assert (paused.text, whispered.text) == ("Go home now.", "Go home now.")
    quiet_runs = "".join("0" if value == 0 else "1" for value in samples(paused)).split("1")
    assert max(map(len, quiet_runs)) >= 1.5 * 16_000
    assert make_corpus(row).lists == ((paused,), (whispered,))


def test_speech_is_made_quiet_or_clipped():
    """Thirty decibels are a factor of 31.6; what is clipped stays at full scale for long."""
    pcm = np.array([0, 3162, -31620, 20, 8000, -9000], np.int16)
    assert quiet(pcm).tolist() == [0, 100, -1000, 1, 253, -285]
    assert clipped(pcm).tolist() == [0, 32767, -32768, 328, 32767, -32768]


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("It may be so.", "It maybe so.", 0),
        ("Maybe any one of them.", "May be anyone of them.", 0),
        ("That is B, R, O, W, N.", "That is BROWN.", 0),
        ("That is B, R, O, W, N.", "That is B-R-O-W-N.", 0),
        ("The lower-case letters.", "The lowercase letters.", 0),
        ("Call five five five, two one two.", "Call 555-212.", 0),
        ("It may be so.", "It may so.", 1),
        ("It may be so.", "It maybe not so.", 1),
        ("Say it now.", "Say it know.", 1),
        ("", "Thank you.", 2),
        ("Good morning.", "", 2),
    ],
)
def test_words_apart_or_together_are_no_errors(said, heard, errors):
    """Only letters count in how words are divided; a letter more or less is an error as ever."""
    assert sum(one.errors for one in scored([[said]], [heard])) == errors


words = st.lists(st.text("ab", min_size=1, max_size=3), max_size=8)


@given(words, words)
def test_respelling_changes_no_letter_and_adds_no_error(said, heard):
    """Whatever was heard is still there in its order, and no text gets worse by it."""
    found = respelled(said, heard)
    assert "".join(found) == "".join(heard)
    assert Levenshtein.distance(said, found) <= Levenshtein.distance(said, heard)


@pytest.mark.parametrize(("live", "worse"), [(11.0, False), (11.1, True), (3.0, False)])
def test_more_than_a_point_is_worse(live, worse):
    """Just a point is not, and neither is a better row."""
    assert RowFigures("r", 100, 10.0, {0.5: 10.0, 1.0: live}, []).worse is worse


def test_a_missing_synthesizer_is_named_with_its_install_command(monkeypatch):
    """Nothing is measured then, and the sentence says how to get it."""
    monkeypatch.setattr(synthesis.shutil, "which", lambda _name: None)
    with pytest.raises(synthesis.NoSynthesizerError, match="apt install espeak-ng"):
        make_corpus(Row("r", ((Spoken("A sentence that nobody has said yet."),),)))


@pytest.mark.parametrize("more", [["--replay"], ["--random-weights"], [__file__]])
def test_the_set_is_heard_by_itself(more):
    """What makes no sense with it is named."""
    done = CliRunner().invoke(command, ["--set", "everyday", *more], standalone_mode=False)
    assert "everyday" in str(done.exception.format_message()) or "FILES" in str(done.exception.format_message())
