"""scripts/tools/corpus: utterances become streams, and it is known what is said in them."""

import json
import wave

import pytest

from scripts.tools.corpus import (
    Corpus,
    ManifestError,
    SpokenWord,
    Utterance,
    make_streams,
    read_language,
    read_set,
    shipped_clips,
)

SECOND = b"\x01\x00" * 16_000
ONE = Utterance("one", "first thing", (("first", 0.5), ("thing", 0.9)), SECOND)
TWO = Utterance("two", "second", (("second", 0.8),), SECOND * 2)


def corpus(*lists, lead_s=0.25, gap_s=0.5):
    return Corpus("test", lists, lead_s, gap_s)


def test_a_list_is_played_once_with_its_silences():
    """A stream is lead, utterance, gap, utterance: nothing after the last one."""
    (stream,) = make_streams(corpus((ONE, TWO)), 1, None)
    assert stream.starts == (4_000, 28_000)
    assert stream.duration_s == 0.25 + 1.0 + 0.5 + 2.0
    assert b"".join(stream.pieces()) == bytes(8_000) + SECOND + bytes(16_000) + SECOND * 2


@pytest.mark.parametrize(
    ("seconds", "ids"), [(0.1, "one"), (3.0, "one two"), (4.0, "one two one"), (7.0, "one two one two")]
)
def test_it_is_repeated_to_the_length(seconds, ids):
    """Utterances come again until the stream is long enough, and it ends with a whole one."""
    (stream,) = make_streams(corpus((ONE, TWO)), 1, seconds)
    assert " ".join(stream.key) == ids
    assert stream.duration_s >= seconds


def test_streams_beyond_the_lists_begin_elsewhere():
    """The third stream of two lists is the first list, one utterance on."""
    made = make_streams(corpus((ONE, TWO), (TWO,)), 4, None)
    assert [stream.key for stream in made] == [("one", "two"), ("two",), ("two", "one"), ("two",)]


def test_material_without_audio_is_refused():
    """Nothing can be repeated to any length: this must end."""
    with pytest.raises(ValueError, match="no audio"):
        make_streams(corpus((Utterance("none", "", (), b""),)), 1, 10.0)


def test_words_are_placed_in_the_stream():
    """A word's end is that in its utterance, moved to where the utterance lies."""
    (stream,) = make_streams(corpus((ONE, TWO)), 1, None)
    spoken = stream.spoken()
    assert spoken.texts == ("first thing", "second")
    assert spoken.words == (SpokenWord("first", 0.75), SpokenWord("thing", 1.15), SpokenWord("second", 2.55))


def test_a_stream_cut_short_says_less():
    """Of an utterance cut short only the words before the cut were said, of those not begun none."""
    (stream,) = make_streams(corpus((ONE, TWO)), 1, None)
    assert stream.spoken(16_000).texts == ("first",)
    assert stream.spoken(4_000).texts == ()


def test_untimed_words_are_said_without_a_time():
    """An utterance without times has its words all the same."""
    (stream,) = make_streams(corpus((Utterance("three", "no times", (), SECOND),)), 1, None)
    assert stream.spoken().words == (SpokenWord("no", None), SpokenWord("times", None))


def test_the_shipped_clips_make_a_minute():
    """Without a manifest there is material: six clips, and each stream begins with another one."""
    made = make_streams(shipped_clips(), 6, 60.0)
    assert len({stream.key[0] for stream in made}) == 6
    assert all(60.0 <= stream.duration_s < 75.0 for stream in made)


@pytest.fixture
def folder(tmp_path):
    """Give a folder with a manifest of two clips and three sets."""
    for name in ("a", "b"):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as writer:
            writer.setparams((1, 2, 16_000, 0, "NONE", ""))
            writer.writeframes(SECOND)
    entries = [
        {"id": "a", "audio": "a.wav", "text": "hello", "lang": "en", "words": [["hello", 0.7]]},
        {"id": "b", "audio": "b.wav", "text": "", "lang": "en"},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, entries)) + "\n")
    sets = {
        "talk": {"streams": [["a", "b"], ["b"]], "gap_s": 0.6, "lead_s": 0.3},
        "quiet": {"clips": ["b", "a"]},
        "wrong": {"clips": ["c"]},
    }
    (tmp_path / "sets.json").write_text(json.dumps(sets))
    return tmp_path


def test_a_set_is_read(folder):
    """A set's clips are decoded, and come in its order with its silences."""
    found = read_set(folder / "m.jsonl", "talk")
    assert [[each.id for each in clips] for clips in found.lists] == [["a", "b"], ["b"]]
    assert found.lists[0][0] == Utterance("a", "hello", (("hello", 0.7),), SECOND)
    assert (found.lead_s, found.gap_s) == (0.3, 0.6)


def test_clips_of_a_set_are_streams_of_their_own(folder):
    """A set of single clips gives one stream each."""
    assert [[each.id for each in clips] for clips in read_set(folder / "m.jsonl", "quiet").lists] == [["b"], ["a"]]


@pytest.mark.parametrize(("name", "says"), [("wrong", "c is not in"), ("none", "there are talk, quiet, wrong")])
def test_a_wrong_set_is_named(folder, name, says):
    """What is missing is said in one sentence."""
    with pytest.raises(ManifestError, match=says):
        read_set(folder / "m.jsonl", name)


def test_a_missing_file_is_named(folder):
    """A clip that is not there is named with its path."""
    (folder / "b.wav").unlink()
    with pytest.raises(ManifestError, match=r"b\.wav: no such file"):
        read_set(folder / "m.jsonl", "talk")


def test_clips_of_a_language_are_read(folder):
    """Each clip of it that fits a pattern is a list of its own."""
    for options, ids in (([], [["a"], ["b"]]), ([["x*", "[b-z]"]], [["b"]])):
        found = read_language(folder / "m.jsonl", "en", *options)
        assert [[each.id for each in clips] for clips in found.lists] == ids


@pytest.mark.parametrize(("language", "clips"), [("de", "*"), ("en", "c*")])
def test_a_language_without_clips_is_named(folder, language, clips):
    """Where nothing fits the sentence says what was looked for."""
    with pytest.raises(ManifestError, match=f"no clip .* has the language '{language}'"):
        read_language(folder / "m.jsonl", language, clips=[clips])


def test_a_manifest_of_something_else_is_named(tmp_path):
    """Neither other JSON nor a missing file ends in a traceback."""
    (tmp_path / "m.jsonl").write_text("[1]\n")
    for name, says in (("m.jsonl", "cannot be read"), ("none.jsonl", "No such file")):
        with pytest.raises(ManifestError, match=says):
            read_language(tmp_path / name, "en")
