"""decode: the server's JSON becomes messages, or a named error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper_live_client.decode import ProtocolError, decode
from whisper_live_client.events import (
    Accounting,
    Ack,
    Config,
    ErrorEvent,
    Final,
    FinalWord,
    Hint,
    Line,
    Moved,
    Partial,
    ReadyToStop,
    Status,
    Unknown,
    Update,
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"type":"config","seq":1,"session":"s","model":"m","languages":["en"],"device":"cpu","future":[1]}',
            Config(1, session="s", model="m", languages=("en",), device="cpu"),
        ),
        ('{"type":"status","seq":2,"message":"Connected"}', Status(2, "Connected", None)),
        (
            '{"type":"partial","seq":3,"segment":0,"committed":"a","tail":"b","start":1,"end":2.5}',
            Partial(3, 0, "a", "b", 1.0, 2.5),
        ),
        (
            '{"type":"final","seq":4,"segment":0,"text":"a","start":1,"end":2,"language":"en","words":[{"word":"a","start":1,"end":2,"probability":0.5}]}',
            Final(4, 0, "a", 1.0, 2.0, (FinalWord("a", 1.0, 2.0, 0.5),), "en"),
        ),
        ('{"type":"ack","seq":5,"received":9,"committed_until":4}', Ack(5, 9, 4)),
        ('{"type":"moved","seq":6,"gpu_id":2}', Moved(6, 2)),
        ('{"type":"hint","seq":6,"code":"x","message":"a"}', Hint(6, "x", "a")),
        ('{"type":"error","seq":7,"error":"no","code":"x","retry_after_s":5}', ErrorEvent(7, "no", "x", 5.0)),
        (
            '{"type":"ready_to_stop","seq":8,"audio":{"received":4,"transcribed":2,"silence":1,"dropped":1}}',
            ReadyToStop(8, Accounting(4, 2, 1, 1)),
        ),
        ('{"type":"ready_to_stop"}', ReadyToStop(None, None)),
        ('{"type":"weather","seq":9}', Unknown(9, "weather")),
        (
            '{"status":"active_transcription","lines":[{"speaker":-2,"text":null,"start":"0:00:01.50","end":"1:02:03.45"}],"buffer_transcription":"b"}',
            Update(
                None, "active_transcription", (Line("", 1.5, 3723.45, silence=True, language=None),), "b", "", "", None
            ),
        ),
    ],
)
def test_messages(text, message):
    """Each message of the protocol is read, unknown keys are ignored."""
    assert decode(text) == message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("hello", "not JSON"),
        ("[]", "message is no JSON object"),
        ('{"type":"ack","seq":1,"received":"9"}', "message.received is not a whole number"),
        ('{"type":"partial","seq":1,"committed":"a"}', "message.segment is not a whole number"),
        ('{"type":"final","seq":1,"segment":0,"words":[1]}', "message.words[] is no JSON object"),
        ('{"type":"final","seq":1,"segment":0,"words":{}}', "message.words is not a list"),
        ('{"type":"status","seq":true}', "message.seq is not a whole number"),
        ('{"lines":[{"text":5}]}', "message.lines[].text is not a string"),
        ('{"lines":[{"start":"soon"}]}', "not a time"),
    ],
)
def test_nonsense_is_named(text, named):
    """A message that is none says what is wrong with it."""
    with pytest.raises(ProtocolError) as caught:
        decode(text)
    assert named in str(caught.value)


LETTERS = st.text("a1:- ", max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | LETTERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LETTERS, inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "type",
    "seq",
    "segment",
    "text",
    "words",
    "lines",
    "audio",
    "received",
    "committed_until",
    "start",
    "languages",
]
KINDS = ["config", "status", "partial", "final", "ack", "moved", "hint", "error", "ready_to_stop"]


@given(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(KINDS) | JSON, max_size=6))
def test_noise_raises_nothing_else(values):
    """Whatever JSON comes, the answer is a message or a ProtocolError."""
    try:
        message = decode(json.dumps(values))
    except ProtocolError:
        return
    assert type(message).__module__.endswith("events")


def test_the_resume_token_is_not_shown():
    """A secret does not get into logs by printing the message."""
    assert "s3cret" not in repr(decode('{"type":"config","seq":1,"resume_token":"s3cret"}'))
