import pytest

from tests.gateway.sessions.harness import SessionHarness


@pytest.fixture
def session():
    """Give a session that waits for a slot; its invariants are checked at the end."""
    session = SessionHarness()
    yield session
    session.check()
