"""The tree of exceptions is what its docstring draws."""

import re

import pytest

from shared import errors

TREE = {kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
DRAWN = re.findall(r"^([ │]*)(?:[├└]── )?(\w+Error)\b(?: +(\d{4}))?", errors.__doc__, re.MULTILINE)


def test_the_docstring_draws_every_class():
    """No exception is missing in the drawing, and none is only there."""
    assert sorted(name for _, name, _ in DRAWN) == sorted(TREE)


def test_the_drawing_has_the_right_parents():
    """Each class hangs below the one it is derived from."""
    root = len(DRAWN[0][0])
    for indent, name, _ in DRAWN[1:]:
        parent = errors.SessionError if len(indent) > root else errors.WhisperLiveError
        assert TREE[name].__base__ is parent, name


@pytest.mark.parametrize(("name", "code"), [(name, int(code)) for _, name, code in DRAWN if code])
def test_the_drawing_has_the_close_codes(name, code):
    """The code beside a class is the one that a client's socket is closed with."""
    assert TREE[name].close_code == code


def test_session_errors_can_be_told_apart():
    """Each of a client's errors has its own stable name, and a close code that an endpoint may send."""
    kinds = [kind for kind in TREE.values() if issubclass(kind, errors.SessionError)]
    assert len({kind.code for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert kind.close_code in {1009, 1011, 1012, 1013} or 4000 <= kind.close_code < 5000
        assert re.fullmatch(r"[a-z_]+", kind.code)


def test_a_session_error_carries_its_sentence():
    """The text that a client reads is the error's own."""
    error = errors.NoCapacityError("Full", retry_after_s=5.0)
    assert (str(error), error.message, error.retry_after_s) == ("Full", "Full", 5.0)
