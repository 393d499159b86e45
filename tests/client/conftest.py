from tests.scripts.conftest import speech as speech  # noqa: PLC0414 - a fixture
