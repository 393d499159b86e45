"""subtitles: exact text, SRT, WebVTT and JSON."""

import json

from hypothesis import given
from hypothesis import strategies as st
from whisper_live_client.events import FinalWord
from whisper_live_client.segment import Segment
from whisper_live_client.subtitles import clean, cues_of, render_json, render_srt, render_text, render_vtt


def segment(number, words, text=None):
    spoken = tuple(FinalWord(f" {word}", start, end, 0.5) for word, start, end in words)
    committed = " ".join(word for word, _, _ in words) if text is None else text
    made = Segment(number, start_s=words[0][1], end_s=words[-1][2])
    made.update(committed, "", [], 0.0)
    made.close(spoken, "en")
    return made


def evenly(text, start, step):
    return [(word, start + step * n, start + step * (n + 1)) for n, word in enumerate(text.split())]


def test_srt():
    """Numbered cues with a comma, two hours in, blank line after each."""
    segments = [segment(0, [("One", 0.0, 0.4), ("two.", 0.5, 1.0004)]), segment(1, [("Three.", 7384.5, 7385.25)])]
    assert render_srt(segments) == (
        "1\n00:00:00,000 --> 00:00:01,000\nOne two.\n\n2\n02:03:04,500 --> 02:03:05,250\nThree.\n\n"
    )


def test_vtt_escapes_its_markup():
    """WebVTT's own characters are escaped, an arrow can end no cue."""
    text = render_vtt([segment(0, [("<b>Tom", 1.0, 2.0), ("&", 2.0, 2.1), ("-->", 2.2, 2.5)])])
    assert text == "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\n&lt;b&gt;Tom &amp; --&gt;\n\n"


def test_srt_has_no_arrow_in_its_text():
    """An arrow in the words cannot be taken for a time line."""
    assert "a -> b" in render_srt([segment(0, [("a", 0, 1), ("-->", 1, 2), ("b", 2, 3)])])


def test_long_segments_are_cut_at_words():
    """A long segment becomes cues of at most two lines and seven seconds, at its words' own times."""
    text = "Four score and seven years ago our fathers brought forth, on this continent, a new nation conceived in liberty."
    cues = cues_of([segment(0, evenly(text, 10.0, 0.4))])
    assert [(cue.start_ms, cue.end_ms, cue.text) for cue in cues] == [
        (10000, 14000, "Four score and seven years ago our fathers brought forth,"),
        (14000, 17600, "on this continent, a new nation conceived in liberty."),
    ]
    slow = cues_of([segment(0, evenly("ten words that come one after another so slowly", 0.0, 2.0))])
    assert [cue.end_ms - cue.start_ms for cue in slow] == [4000, 6000, 4000, 4000]
    assert " ".join(cue.text for cue in slow) == "ten words that come one after another so slowly"


def test_cues_prefer_sentence_ends():
    """A cue of more than one line ends with its sentence."""
    text = "This sentence fills one whole line of a subtitle. The next one begins a new cue."
    assert [cue.text for cue in cues_of([segment(0, evenly(text, 0.0, 0.3))])] == [
        "This sentence fills one whole line of a subtitle.",
        "The next one begins a new cue.",
    ]


def test_wide_cues_are_folded():
    """A cue wider than a line is broken into two of about the same width."""
    text = "It was a bright cold day in April, and the clocks were striking thirteen."
    srt = render_srt([segment(0, evenly(text, 0.0, 0.2))])
    assert srt.splitlines()[2:4] == ["It was a bright cold day in April,", "and the clocks were striking thirteen."]


def test_a_segment_without_words_stays_whole():
    """Where the server named no words, or others, there are no times to cut at."""
    bare = Segment(0, "One two three.", "", 1.0, 30.0)
    other = segment(1, [("Elf", 30.0, 40.0)], text="Twelve thirteen.")
    assert [(cue.start_ms, cue.end_ms, cue.text) for cue in cues_of([bare, other])] == [
        (1000, 30000, "One two three."),
        (30000, 40000, "Twelve thirteen."),
    ]


def test_chinese_is_cut_between_its_words():
    """Words that stand without spaces are found in the text, and wide characters count twice."""
    words = [("今天天气", 0.0, 1.0), ("很好。", 1.0, 2.0)] * 7
    text = "".join(word for word, _, _ in words)
    cues = cues_of([segment(0, words, text)])
    assert "".join(cue.text for cue in cues) == text
    assert len(cues) == 2
    assert max(len(cue.text) for cue in cues) <= 42


def test_punctuation_stays_with_its_word():
    """A comma that the server counts as a word of its own, or a split word, moves no cue's border."""
    words = [(f"word{number:02}", number, number + 0.5) for number in range(7)] + [(",", 7, 7.2), ("last", 7.2, 7.6)]
    text = " ".join(word for word, _, _ in words[:7]) + ", last"
    assert [(cue.end_ms, cue.text) for cue in cues_of([segment(0, words, text)])] == [
        (3500, "word00 word01 word02 word03"),
        (7600, "word04 word05 word06, last"),
    ]


def test_text_is_one_line_a_segment():
    """Plain text has a line for each segment that says something; control characters are gone."""
    segments = [Segment(0, " One\x1b[31m two. "), Segment(1, " "), Segment(2, "Three.\nFour.")]
    assert render_text(segments) == "One [31m two.\nThree. Four.\n"
    assert render_text([]) == ""


def test_json_keeps_letters():
    """JSON is UTF-8, with the words and what is said about the session."""
    body = render_json([segment(0, [("Ça", 0.1, 0.2), ("va.", 0.2, 0.3)])], {"complete": True})
    assert "Ça va." in body
    read = json.loads(body)
    assert read["complete"] is True
    assert read["segments"][0]["words"][0] == {"word": "Ça", "start": 0.1, "end": 0.2, "probability": 0.5}


TIMES = st.floats(0, 20_000, allow_nan=False)
TEXTS = st.text(st.sampled_from("ab .,今\n\x07"), max_size=12)


@given(
    st.lists(st.tuples(st.lists(st.tuples(TEXTS, TIMES, TIMES), min_size=1, max_size=30), st.booleans()), max_size=5)
)
def test_no_word_is_lost_and_no_cue_overlaps(spoken):
    """Whatever the server says, every character is in a cue once, in order, and times only go up."""
    segments = [segment(number, words, None if honest else "ab ab 今") for number, (words, honest) in enumerate(spoken)]
    cues = cues_of(segments)
    squeezed = "".join("".join(cue.text for cue in cues).split())
    assert squeezed == "".join("".join(clean(part.committed) for part in segments).split())
    end_ms = 0
    for cue in cues:
        assert end_ms <= cue.start_ms < cue.end_ms
        assert cue.text
        end_ms = cue.end_ms
