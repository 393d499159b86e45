"""The transcript: committed words are appended and never change; segments close once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sessions.transcript import Transcript, seconds
from tests.gateway.builders import S, hypothesis, word

STEPS = st.lists(
    st.builds(
        lambda words, tail, closes: (tuple(words), tail, closes),
        st.lists(st.sampled_from([" one", " two", ".", "字", " "]), max_size=3),
        st.sampled_from(["", " tail", " tail ", " "]),
        st.booleans(),
    ),
    max_size=20,
)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_words_are_only_appended(steps):
    """After every step the words so far are those before it and the new ones; closed segments stay as they are."""
    transcript, said, closed = Transcript(), [], {}
    for texts, tail, closes in steps:
        before, tail_before, open_before = list(said), transcript.tail, transcript.open
        changed = transcript.apply(hypothesis(*(word(text) for text in texts), tail=tail, closes=closes))
        transcript.check()
        said += texts
        assert [each.text for segment in transcript.segments for each in segment.words] == said
        assert transcript.words == len(said)
        assert transcript.tail == tail.rstrip()
        closing = closes and (open_before is not None or bool(texts))
        assert changed == (said != before or tail_before != transcript.tail or closing)
        assert (transcript.open is None) == (closes or not said or (open_before is None and not texts))
        for segment in transcript.segments:
            if segment.closed:
                assert closed.setdefault(segment.number, segment.text) == segment.text
    assert [segment.number for segment in transcript.segments] == list(range(1, len(transcript.segments) + 1))


def test_a_segment_has_its_words_span():
    """A segment begins with its first word and ends with its last."""
    transcript = Transcript()
    transcript.apply(hypothesis(word(" one", 1.0, 1.5), word(" two", 1.5, 2.25)))
    assert transcript.open is not None
    assert (transcript.open.start, transcript.open.end, transcript.open.text) == (S, 2.25 * S, "one two")


def test_closing_drops_the_tail():
    """The open segment is closed without the words that were not committed."""
    transcript = Transcript()
    transcript.apply(hypothesis(word(" one"), tail=" two"))
    transcript.close()
    assert (transcript.tail, transcript.open, transcript.segments[0].closed) == ("", None, True)
    transcript.close()
    transcript.check()


def test_an_unknown_language_does_not_replace_a_known_one():
    """A step may leave the language out."""
    transcript = Transcript()
    transcript.apply(hypothesis(word(" un"), language="fr"))
    transcript.apply(hypothesis(word(" deux"), language=None))
    assert (transcript.language, transcript.segments[0].language) == ("fr", "fr")


def test_seconds_are_rounded_to_the_millisecond():
    """16 samples are one millisecond."""
    assert seconds(16_008) == 1.0
    assert seconds(16_016) == 1.001
