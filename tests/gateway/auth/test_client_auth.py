"""Tokens and origins of clients."""

import base64
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.client_auth import check_origin, check_token, client_token
from shared.errors import BadOriginError, BadTokenError


def coded(token: str) -> str:
    return base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("headers", "query", "token"),
    [
        ({}, {}, None),
        ({"authorization": "Bearer abc"}, {}, "abc"),
        ({"authorization": "bearer  abc "}, {}, "abc"),
        ({"authorization": "Basic abc"}, {}, None),
        ({"authorization": "Bearer"}, {}, None),
        ({"sec-websocket-protocol": f"whisperlive, token.{coded('a/b+c?é')}"}, {}, "a/b+c?é"),
        ({"sec-websocket-protocol": "whisperlive"}, {"token": "q"}, "q"),
        ({"sec-websocket-protocol": "token.%%%"}, {}, None),
        ({"sec-websocket-protocol": "token._w"}, {}, None),
        ({}, {"token": "q"}, "q"),
        ({}, {"token": ""}, None),
        ({"authorization": "Bearer abc"}, {"token": "q"}, "abc"),
    ],
)
def test_where_a_token_is_found(headers, query, token):
    """Bearer first, then the subprotocol that browsers can send, then the query; what cannot be read is none."""
    assert (client_token(headers, query) or None) == token


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1))
def test_a_subprotocol_can_carry_any_token(token):
    """Base64url without padding goes through the subprotocol's alphabet and comes back, for any text."""
    assert client_token({"sec-websocket-protocol": f"whisperlive, token.{coded(token)}"}, {}) == token


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_any_subprotocol_is_a_token_or_none(offered):
    """None raises anything."""
    token = client_token({"sec-websocket-protocol": "token." + offered}, {})
    assert token is None or isinstance(token, str)


def test_a_token_must_be_one_of_the_accepted():
    """If any is accepted; a missing token and a wrong one are told apart, and neither error repeats a token."""
    check_token(None, ())
    check_token("whatever", ())
    check_token("b", ("a", "b"))
    with pytest.raises(BadTokenError, match="required"):
        check_token(None, ("a", "b"))
    for wrong in ("c", "A", "ab", "", "é"):
        with pytest.raises(BadTokenError, match=r"^The token is not valid$"):
            check_token(wrong, ("a", "b"))


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "a.example", ()),
        ("https://a.example", "a.example", ()),
        ("http://localhost:8000", "localhost:8000", ()),
        ("https://A.example", "a.EXAMPLE", ()),
        ("http://[::1]:8000", "[::1]:8000", ()),
        ("https://b.example", "a.example", ("https://b.example/",)),
        ("https://b.example", "a.example", ("*",)),
        ("null", "a.example", ("null",)),
    ],
)
def test_origins_that_may_connect(origin, host, allowed):
    """No browser, our own page, and what the operator has allowed."""
    check_origin(origin, host, allowed)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://b.example", "a.example", ()),
        ("https://a.example:444", "a.example", ()),
        ("https://a.example.b.example", "a.example", ()),
        ("https://b.example", "a.example", ("https://c.example",)),
        ("https://c.example.b.example", "a.example", ("https://c.example",)),
        ("http://b.example", "a.example", ("https://b.example",)),
        ("null", "a.example", ()),
        ("", "a.example", ()),
        ("", "", ()),
        ("null", "", ()),
        ("https://a.example", None, ()),
        ("http://[", "a.example", ()),
    ],
)
def test_origins_that_may_not_connect(origin, host, allowed):
    """A page of another site, scheme or port, and anything that is no origin at all; the setting is named."""
    with pytest.raises(BadOriginError, match="ALLOWED_ORIGINS"):
        check_origin(origin, host, allowed)


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(), st.text("htp:/[]@.a%1", max_size=12)))
def test_any_origin_is_accepted_or_refused(origin):
    """None raises anything but the refusal."""
    with contextlib.suppress(BadOriginError):
        check_origin(origin, "a.example", ())
