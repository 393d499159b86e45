"""The codec: every message comes back as it went, and invalid frames raise WireError and nothing else."""

import math
import types
from dataclasses import fields, is_dataclass, replace
from typing import get_args, get_origin, get_type_hints

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared import messages as m
from shared import wire
from shared.errors import WireError
from tests.gateway.builders import hypothesis, resume, word

KINDS = (*get_args(m.ToWorker), *get_args(m.ToGateway))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = {
    int: st.integers(-(2**53), 2**53),
    float: FLOATS,
    str: st.text(max_size=20),
    bool: st.booleans(),
    bytes: st.binary(max_size=40),
}


def values_of(hint):
    """Return a strategy for a field's type."""
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return st.builds(hint, **{f.name: values_of(hints[f.name]) for f in fields(hint)})
    if get_origin(hint) is tuple:
        return st.lists(values_of(get_args(hint)[0]), max_size=3).map(tuple)
    if isinstance(hint, types.UnionType):
        return st.one_of(*(st.none() if option is types.NoneType else values_of(option) for option in get_args(hint)))
    return SCALARS[hint]


MESSAGES = st.one_of(*(values_of(kind) for kind in KINDS))
RESUME, HYPOTHESIS = resume(), hypothesis(word(" a"), tail="b")
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def refuses(frames) -> None:
    """Assert that the frames are no message; any error but WireError passes through."""
    with pytest.raises(WireError):
        wire.decode(frames)


def decode_or_refuse(frames) -> None:
    """Assert that the frames are refused by WireError, or spell a message that comes back."""
    try:
        message = wire.decode(frames)
    except WireError:
        return
    assert wire.decode(wire.encode(message)) == message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_message_comes_back(kind):
    """Whatever values a message's fields have, the other side gets an equal message of the same types."""

    @settings(max_examples=15, deadline=None)
    @given(values_of(kind))
    def comes_back(message):
        frames = wire.encode(message)
        assert len(frames[0]) == 1
        back = wire.decode(frames)
        assert back == message
        assert type(back) is kind

    comes_back()


def test_audio_travels_beside_the_header():
    """PCM is a frame of its own and is not packed."""
    pcm = bytes(range(256)) * 100
    assert wire.encode(m.Audio(1, 2, pcm))[2] is pcm


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_random_frames_raise_only_wire_errors(frames):
    """Frames of random bytes raise WireError, if they are not a message by chance."""
    decode_or_refuse(frames)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(wire._TAGS)), st.binary(max_size=80), st.lists(st.binary(max_size=4), max_size=2))
@example(b"C", b"\xc7\x00\xff", [])
@example(b"C", b"\x91\xd6\xff\x00\x00\x00\x00", [])
@example(b"C", b"\x81\x90\x01", [])
@example(b"C", b"\x91\xc1", [])
def test_random_headers_raise_only_wire_errors(tag, header, payload):
    """Random bytes behind a known tag raise WireError, if they are not a header by chance."""
    decode_or_refuse([tag, header, *payload])


@settings(max_examples=150, deadline=None)
@given(MESSAGES, JUNK, st.data())
def test_a_field_of_another_type_is_refused_or_fits(message, junk, data):
    """One value of a good message replaced by anything else raises WireError unless it has the field's type."""
    tag, header, *payload = wire.encode(message)
    values = msgpack.unpackb(header)
    spot = values
    while isinstance(spot, list) and spot:
        index = data.draw(st.integers(0, len(spot) - 1))
        if not (isinstance(spot[index], list) and spot[index] and data.draw(st.booleans())):
            spot[index] = junk
            break
        spot = spot[index]
    decode_or_refuse([tag, msgpack.packb(values), *payload])


@settings(max_examples=30, deadline=None)
@given(MESSAGES, st.data())
def test_a_cut_message_is_refused(message, data):
    """A header that ends early, has a byte too many, or lacks its payload is no message."""
    tag, header, *payload = wire.encode(message)
    refuses([tag, header[: data.draw(st.integers(0, len(header) - 1))], *payload])
    refuses([tag, header + b"\0", *payload])
    refuses([tag, header, *payload, b""])
    refuses([tag])
    if payload:
        refuses([tag, header])


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 1.0, True, None, "1", [1], b"1"])
def test_a_lease_is_a_whole_number_in_range(value):
    """Integers are exact everywhere: no booleans, no fractions, nothing past 2^53."""
    refuses([b"C", msgpack.packb([value])])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "0", None, True])
def test_a_time_is_a_finite_number(value):
    """NaN and the infinities are no figures."""
    refuses([b"o", msgpack.packb([1, value])])


def test_a_whole_number_may_stand_for_a_fraction():
    """Packers write 2.0 as 2: it is read as a float."""
    message = wire.decode([b"o", msgpack.packb([1, 2])])
    assert message == m.Opened(1, 2.0)
    assert type(message.load_ms) is float


@pytest.mark.parametrize(
    "header",
    [
        b"\x91" * 2000 + b"\x90",
        b"\x91" * 100_000 + b"\x90",
        msgpack.packb([1, "x" * (wire.MAX_STRING_BYTES + 1)]),
        msgpack.packb([1, [0] * (wire.MAX_ITEMS + 1)]),
        msgpack.packb([1, b"x"]),
        msgpack.packb({"lease": 1}),
        msgpack.packb([1, msgpack.ExtType(1, b"x")]),
        msgpack.packb([1, msgpack.Timestamp(1, 1)]),
        msgpack.packb(1),
        b"\xdd\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x00" * (wire.MAX_HEADER_BYTES + 1),
        b"\x92\x01\xa1\xff",
        b"",
    ],
    ids=[
        "nested 2000 deep", "nested 100000 deep", "long string", "long array", "bytes inside", "a map", "an extension",
        "a timestamp", "a number", "an array that claims 4 G items", "a string that claims 4 GB",
        "an extension that claims 4 GB", "long header", "broken UTF-8", "empty",
    ],
)  # fmt: skip
def test_headers_out_of_bounds_are_refused(header):
    """Depth, lengths and types are bounded before anything is built from them."""
    refuses([b"x", header])


def test_lengths_at_the_bound_pass():
    """The longest string and the longest array are still messages."""
    text = "x" * wire.MAX_STRING_BYTES
    assert wire.decode(wire.encode(m.StreamFailed(1, text))).reason == text
    longest = replace(RESUME, draft=(1,) * wire.MAX_ITEMS)
    assert wire.decode(wire.encode(replace(HYPOTHESIS, resume=longest))).resume == longest


def test_a_payload_past_the_bound_is_refused_on_both_sides():
    """More PCM than the bound is neither sent nor taken."""
    most = bytes(wire.MAX_PAYLOAD_BYTES)
    frames = wire.encode(m.Audio(1, 0, most))
    assert wire.decode(frames).pcm == most
    refuses([*frames[:2], most + b"\0"])
    with pytest.raises(WireError):
        wire.encode(m.Audio(1, 0, most + b"\0"))


@pytest.mark.parametrize(
    "message",
    [
        m.Opened(1, math.nan),
        m.Opened(1, math.inf),
        m.Opened(1, "soon"),
        m.Close(2**53 + 1),
        m.Close(2**70),
        m.Close("1"),
        m.Close(None),
        m.StreamFailed(1, "x" * (wire.MAX_STRING_BYTES + 1)),
        m.StreamFailed(1, "a lone surrogate \ud800"),
        m.StreamFailed(1, None),
        m.Audio(1, 0, "text"),
        m.Audio(1, 0, None),
        replace(HYPOTHESIS, words=[m.Word("a", 0, 1, 0.5)], closes=1),
        replace(HYPOTHESIS, words=(m.Close(1),)),
        replace(HYPOTHESIS, resume=None),
        replace(HYPOTHESIS, resume=replace(RESUME, draft=(1,) * (wire.MAX_ITEMS + 1))),
        replace(HYPOTHESIS, words=tuple(m.Word(" word" * 20, i, i, 0.5) for i in range(4000))),
    ],
    ids=range(17),
)
def test_a_message_that_could_not_be_read_is_not_sent(message):
    """A value that the other side would refuse is refused where it was made."""
    with pytest.raises(WireError):
        wire.encode(message)


def test_the_error_says_which_field():
    """It names the message, the field and what was expected."""
    with pytest.raises(WireError, match=r"Audio\.start: expected int, got str"):
        wire.decode([b"A", msgpack.packb([1, "x"]), b""])
    with pytest.raises(WireError, match=r"unknown tag b'\?'"):
        wire.decode([b"?", b"\x90"])
