"""Logs: one line an event, of every library, with every value as a field."""

import json
import logging
import threading

import pytest
import structlog

from shared import logs


@pytest.fixture(autouse=True)
def _restored():
    """Leave logging as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def lines(capsys):
    """Return a function that gives the JSON lines written since the last call."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def start(log_format="json", level="info"):
    logs.configure(log_format=log_format, level=level, process="gateway", gpu=3)


def test_an_event_is_one_line_of_json(lines):
    """A sentence with its values as fields; level, logger, time and process are beside it."""
    start()
    logs.get("a").info("Allocated GPU 0 to connection x\ny", event_id="gpu_allocated", gpu_id=0, lease=7)
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "Allocated GPU 0 to connection x\ny",
        "event_id": "gpu_allocated",
        "gpu_id": 0,
        "lease": 7,
        "level": "info",
        "logger": "a",
        "process": "gateway",
        "gpu": 3,
    }


@pytest.mark.parametrize("name", ["uvicorn.error", "uvicorn", "asyncio", "py.warnings"])
def test_other_libraries_logs_go_the_same_way(lines, name):
    """What uvicorn and the standard library log is the same kind of line, with its values in the sentence."""
    start()
    logging.getLogger(name).warning("Started %s [%d]", "server", 12)
    (line,) = lines()
    assert (line["event"], line["level"], line["logger"]) == ("Started server [12]", "warning", name)
    assert line["process"] == "gateway"


def test_a_traceback_stays_on_its_line(lines):
    """An exception is a field of its event, ours or another library's."""
    start()
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logs.get("b").exception("failed", event_id="x")
        logging.getLogger("uvicorn.error").exception("failed too")
    ours, theirs = lines()
    for line in (ours, theirs):
        assert "ZeroDivisionError: division by zero" in line["exception"]
        assert line["level"] == "error"


def test_every_thread_logs_the_process(lines):
    """The process's fields are on lines from other threads too, such as the model's."""
    start()
    thread = threading.Thread(target=lambda: logs.get("c").info("loaded"))
    thread.start()
    thread.join()
    (line,) = lines()
    assert (line["process"], line["gpu"]) == ("gateway", 3)


def test_the_level_is_a_bound(lines):
    """Below the level nothing is written, by us or by others."""
    start(level="warning")
    logs.get("d").info("quiet")
    logging.getLogger("uvicorn").info("quiet")
    logs.get("d").warning("loud")
    assert [line["event"] for line in lines()] == ["loud"]


def test_a_value_that_json_lacks_does_not_end_the_line(lines):
    """A field of any type is written somehow: logging never raises."""
    start()
    logs.get("e").info("odd", value={1, 2}, other=b"\xff", error=ValueError("x"))
    (line,) = lines()
    assert line["event"] == "odd"


def test_the_console_has_the_sentence_first(capsys):
    """The sentence and the values are on one line; without a terminal there are no colours."""
    start(log_format="console")
    logs.get("f").info("Released GPU 1 from connection x", event_id="gpu_released")
    out = capsys.readouterr().out
    assert "Released GPU 1 from connection x" in out
    assert "event_id=gpu_released" in out
    assert "\x1b" not in out
    assert out.count("\n") == 1


def test_auto_is_json_without_a_terminal(lines):
    """Under a supervisor, with standard output in a pipe, ``auto`` means JSON."""
    start(log_format="auto")
    logs.get("g").info("here")
    assert lines()[0]["event"] == "here"
