import logging

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    """Put the root logger back as a test found it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.contextvars.clear_contextvars()
