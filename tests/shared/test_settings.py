"""Settings: every wrong value is named, and one table serves the parser and the README."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import SettingsError
from shared.settings import GatewaySettings, WorkerSettings

ROWS = {row.env: (kind, row) for kind in (WorkerSettings, GatewaySettings) for row in kind.rows()}

FREE_TEXT = {
    "HOST",
    "API_TOKENS",
    "ALLOWED_ORIGINS",
    "MONITOR_TOKEN",
    "WORKER_NAME",
    "WHISPER_MODEL",
    "MODEL_CACHE_DIR",
}
"""Settings that take any text."""

WRONG = {
    "RUN_DIR": ["~nobody-of-this-name/run"],
    "LOG_FORMAT": ["xml"],
    "LOG_LEVEL": ["loud"],
    "DEVICE": ["tpu"],
    "WORKER_ENDPOINT": ["localhost:5000", "http://localhost", "tcp://a:1,tcp://b:2"],
    "GATEWAY_ENDPOINTS": ["localhost:5000", "ipc://run/x, udp://y"],
}
"""Wrong values of the settings that are no numbers."""

NOT_NUMBERS = ["many", "1.2.3", "nan", "-inf", "1e999", "0x10", "1 2"]


def wrong_values(row) -> list[str]:
    """Return values that the setting must refuse."""
    return WRONG.get(row.env) or [*NOT_NUMBERS, "-1000000", "99999999999"]


CASES = [(env, value) for env, (_, row) in ROWS.items() if env not in FREE_TEXT for value in wrong_values(row)]


@pytest.mark.parametrize(("env", "value"), CASES)
def test_a_wrong_value_is_named(env, value):
    """The error names the variable and repeats the value, so that one line is enough to put it right."""
    kind, _ = ROWS[env]
    with pytest.raises(SettingsError) as caught:
        kind.from_env({env: value})
    assert str(caught.value).startswith(f"{env}={value!r}: ")
    assert len(str(caught.value)) > len(f"{env}={value!r}: expected")


@pytest.mark.parametrize("env", sorted(FREE_TEXT))
@settings(max_examples=10, deadline=None)
@given(value=st.text(max_size=20))
def test_free_text_is_taken_as_it_is(env, value):
    """A setting that takes any text never ends the start."""
    kind, _ = ROWS[env]
    kind.from_env({env: value})


def test_the_defaults_are_design_values():
    """An empty environment gives the defaults that the operators' documents name."""
    gateway, worker = GatewaySettings.from_env({}), WorkerSettings.from_env({})
    assert (gateway.host, gateway.port, gateway.gpu_workers, gateway.slots_per_gpu) == ("127.0.0.1", 8000, 4, 4)
    assert (gateway.journal_s, gateway.max_message_bytes, gateway.max_session_s) == (60.0, 2**20, 14400.0)
    assert (gateway.idle_timeout_s, gateway.worker_lost_s, worker.model_idle_unload_s) == (60.0, 2.0, 10.0)
    assert gateway.socket_limit(16) == 128
    assert worker.name() == "gpu0"


def test_an_empty_variable_counts_as_unset():
    """``PORT=`` in an environment file is no wrong value."""
    assert GatewaySettings.from_env({"PORT": ""}) == GatewaySettings.from_env({})


def test_values_are_read():
    """Each kind of value arrives with its type."""
    env = {
        "PORT": "9000",
        "JOURNAL_S": "45.5",
        "LOG_FORMAT": "JSON",
        "API_TOKENS": " one, two ,,",
        "RUN_DIR": "/srv/run",
        "MAX_SOCKETS": "7",
    }
    found = GatewaySettings.from_env(env)
    assert (found.port, found.journal_s, found.log_format) == (9000, 45.5, "json")
    assert found.api_tokens == ("one", "two")
    assert found.endpoint() == "ipc:///srv/run/workers.sock"
    assert found.socket_limit(16) == 7


def test_both_sides_meet_at_the_same_socket_by_default():
    """Gateway and workers find each other through the run directory alone."""
    env = {"RUN_DIR": "somewhere"}
    assert WorkerSettings.from_env(env).endpoints() == (GatewaySettings.from_env(env).endpoint(),)


def test_a_token_is_not_repeated_in_errors():
    """A wrong value elsewhere does not bring the tokens into the start's error."""
    with pytest.raises(SettingsError) as caught:
        GatewaySettings.from_env({"API_TOKENS": "secret", "PORT": "x"})
    assert "secret" not in str(caught.value)


def test_defaults_can_be_changed_by_field():
    """Tests and tools start from the defaults; an unknown field is refused."""
    assert GatewaySettings.defaults(port=0).port == 0
    with pytest.raises(TypeError):
        GatewaySettings.defaults(prot=0)


def test_the_readme_has_every_setting_with_its_default():
    """README's table is the settings' own: a row for each variable, with its default and its meaning."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    rows = re.findall(r"^\|\s*`([A-Z_]+)`\s*\|\s*(.*?)\s*\|\s*(.*?)\s*\|$", readme, re.MULTILINE)
    shown = {env: (default.strip("`"), meaning) for env, default, meaning in rows}
    for env, (_, row) in ROWS.items():
        assert env in shown, f"README.md lacks {env}"
        assert shown[env] == (row.default, row.meaning), env
