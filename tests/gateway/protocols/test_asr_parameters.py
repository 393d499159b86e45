"""The query of ``/asr``: what may be asked for, and which errors name what may not."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols.asr_parameters import AsrParameters, read_parameters
from gateway.sessions.client_session import SessionOptions
from shared.errors import BadParameterError

PLAIN = AsrParameters(mode="full", language=None, task="transcribe", resume=None, last_seq=0)


@pytest.mark.parametrize("query", [{}, {"mode": "", "task": "", "language": "", "last_seq": ""}, {"language": "AUTO"}])
def test_nothing_is_required(query):
    """A bare address means the stock format, transcription, and the model's language."""
    assert read_parameters(query) == PLAIN


def test_every_parameter_is_read():
    """In the type that the session needs."""
    query = {"mode": "events", "language": "FR", "task": "translate", "encoding": "pcm_s16le"}
    query |= {"resume": "abc", "last_seq": "17"}
    assert read_parameters(query) == AsrParameters("events", "fr", "translate", "abc", 17)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "diff"),
        ("mode", "Full"),
        ("task", "summarise"),
        ("encoding", "opus"),
        ("last_seq", "-1"),
        ("last_seq", "1.5"),
        ("last_seq", "٣"),
        ("last_seq", "9" * 6000),
        ("sample_rate", "48000"),
        ("languge", "en"),
    ],
)
def test_a_wrong_parameter_is_named(name, value):
    """The error says which parameter is wrong, in words that fit on a page."""
    with pytest.raises(BadParameterError, match=name) as caught:
        read_parameters({name: value})
    assert len(str(caught.value)) < 300


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["mode", "task", "language", "encoding", "last_seq", "resume", "x"]), st.text()))
def test_any_query_is_accepted_or_refused(query):
    """None raises anything but the refusal."""
    with contextlib.suppress(BadParameterError):
        read_parameters(query)


@pytest.mark.parametrize("languages", [("en",), ("en", "fr"), tuple(f"{a}{b}" for a in "abcdef" for b in "xyz")])
def test_a_language_that_the_model_lacks_is_named(languages):
    """The error names the language and the model, and lists what it has if that is short."""
    with pytest.raises(BadParameterError, match=r"language='klingon'.*tiny") as caught:
        SessionOptions("klingon").check(languages, "tiny")
    assert len(str(caught.value)) < 200
    SessionOptions(languages[0]).check(languages, "tiny")
    SessionOptions().check(languages, "tiny")


def test_a_model_of_one_language_does_not_translate():
    """Translation needs a multilingual model, and the error says so."""
    with pytest.raises(BadParameterError, match=r"task='translate'.*tiny\.en"):
        SessionOptions("en", "translate").check(("en",), "tiny.en")
    SessionOptions("fr", "translate").check(("en", "fr"), "tiny")
