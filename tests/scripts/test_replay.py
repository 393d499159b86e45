"""scripts/replay: recordings, the run and its measures, with the scripted recognizer."""

import json
import wave

import numpy as np
import pytest

from scripts.replaying.measures import Measures, align, measure
from scripts.replaying.recordings import Recording, read_set
from scripts.replaying.run import Cadence, Replay, Update, replay
from shared.messages import Word
from tests.scripted_recognizer import ScriptedRecognizer, say

STORY = say([0.5, "one", "two", "three", "four", 1.0, "five", "six", 1.0])
RECORDING = Recording(
    "story",
    STORY.pcm,
    "One two three, four. Five six!",
    tuple((word.text, word.end / 16_000) for word in STORY.words),
)


def run(cadence: Cadence) -> Replay:
    return replay(RECORDING, ScriptedRecognizer(), cadence=cadence, language="en")


def test_a_recording_becomes_words_and_measures():
    """Every word is found without error, shown within a period and committed after it was shown."""
    result = run(Cadence(period_s=0.5, piece_s=0.1))
    found = measure(RECORDING, result, english=False)
    assert (found.errors, found.reference, found.seen) == (0, 6, 6)
    assert len(found.shown) == len(found.committed) == 6
    # The scripted recognizer knows a word, as a model may, when two thirds of its 0.35 s are there.
    assert all(-0.12 <= shown <= committed for shown, committed in zip(found.shown, found.committed, strict=True))
    assert max(found.shown) <= 0.8
    assert result.books.transcribed + result.books.silence == len(STORY.pcm)
    assert result.decodes > 0
    assert result.longest_s <= result.audio_s


def test_all_at_once_needs_fewer_decodes_for_the_same_words():
    """A backlog is decoded once an utterance."""
    live, backlog = run(Cadence(0.5, 0.1)), run(Cadence(0.5, 0.0))
    assert live.text == backlog.text
    assert backlog.decodes == 2 < live.decodes


def test_a_failing_recognizer_ends_the_replay():
    """What the recognizer answers in place of a result is raised."""
    poisoned = Recording("poisoned", say([0.3, "one", "poison", 1.0]).pcm)
    with pytest.raises(RuntimeError, match="poison"):
        replay(poisoned, ScriptedRecognizer(), cadence=Cadence(0.5, 0.1))


def test_alignment_counts_errors_and_pairs_equal_words():
    """One substitution, one insertion and one word left out are three errors."""
    errors, pairs = align(["a", "b", "c", "d"], ["a", "x", "c", "e", "f"])
    assert errors == 3
    assert pairs == [(0, 0), (2, 2)]
    assert align([], ["a"]) == (1, [])
    assert align(["a", "b", "c"], ["b", "c", "d"]) == (2, [(1, 0), (2, 1)])


def test_changed_words_are_counted_but_for_the_newest():
    """A word that was shown counts if it vanishes or is committed as another one; the last of a tail does not."""
    result = Replay(3.0)
    result.words = [Word(" won", 0, 1, 0.9), Word(" two", 1, 2, 0.9), Word(" three", 2, 3, 0.9)]
    result.updates = [Update(1.0, 0, " one to"), Update(2.0, 0, " won too tree"), Update(3.0, 3, "")]
    recording = Recording("x", np.zeros(0, np.int16), "won two three", (("won", 0.5), ("two", 1.0), ("three", 1.5)))
    found = measure(recording, result, english=True)
    assert found.changed == 2
    assert found.shown == [1.5, 2.0, 1.5]
    assert found.committed == [2.5, 2.0, 1.5]


def test_measures_add_up():
    """Sums over recordings are sums of their parts."""
    total = Measures()
    total.add(Measures(1, 10, [0.5], [1.0], 2, 9))
    total.add(Measures(2, 20, [0.6], [1.5], 1, 21))
    assert total == Measures(3, 30, [0.5, 0.6], [1.0, 1.5], 3, 30)


def test_clips_of_a_set_are_joined(tmp_path):
    """Leads and gaps are silence, texts follow each other, and word times move with their clips."""
    for name in ("a", "b"):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(np.full(16_000, 100, np.int16).tobytes())
    lines = [{"id": n, "audio": f"{n}.wav", "text": n, "words": [[n, 0.5]]} for n in ("a", "b")]
    manifest, sets = tmp_path / "manifest.jsonl", tmp_path / "sets.json"
    manifest.write_text("\n".join(map(json.dumps, lines)))
    sets.write_text(json.dumps({"s": {"lead_s": 0.3, "gap_s": 0.6, "streams": [["a", "b"]]}, "n": {"clips": ["b"]}}))
    (joined,) = read_set([manifest], sets, "s")
    assert len(joined.pcm) == round(3.5 * 16_000)
    assert joined.text == "a b"
    assert joined.words == (("a", 0.8), ("b", pytest.approx(2.4)))
    assert joined.pcm[0] == 0
    assert joined.pcm[round(0.8 * 16_000)] == 100
    (single,) = read_set([manifest], sets, "n")
    assert len(single.pcm) == 16_000
    twice = single.repeated(2)
    assert (len(twice.pcm), twice.text, twice.words) == (32_000, "b b", (("b", 0.5), ("b", 1.5)))
