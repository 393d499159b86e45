"""Settings: frozen dataclasses built once from the environment.

Each field has its variable, its default, its meaning and its parser in one place; the README's table is made from them.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from shared.errors import SettingsError

Parse = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """The variable of one field; ``default`` is parsed as if it came from the environment."""

    env: str
    default: str
    meaning: str
    parse: Parse


def integer(low: int, high: int) -> Parse:
    """Return a parser for whole numbers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError("expected a whole number") from None
        if not low <= value <= high:
            raise ValueError(f"expected {low} to {high}")
        return value

    return parse


def number(low: float, high: float) -> Parse:
    """Return a parser for numbers from ``low`` to ``high``."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError("expected a number") from None
        if not low <= value <= high:  # also refuses nan
            raise ValueError(f"expected {low:g} to {high:g}")
        return value

    return parse


def choice(*options: str) -> Parse:
    """Return a parser for one of ``options``, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in options:
            raise ValueError(f"expected one of {', '.join(options)}")
        return text.lower()

    return parse


def words(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list; empty items are left out."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def text(value: str) -> str:
    """Parse any text, without the blanks around it."""
    return value.strip()


def path(value: str) -> Path:
    """Parse a path; ``~`` is the home directory."""
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("no such user") from None


def endpoints(value: str) -> tuple[str, ...]:
    """Parse a comma-separated list of ZeroMQ endpoints."""
    found = words(value)
    for each in found:
        if not each.startswith(("ipc://", "tcp://")):
            raise ValueError("expected ipc://... or tcp://...")
    return found


def endpoint(value: str) -> str:
    """Parse at most one ZeroMQ endpoint."""
    found = endpoints(value)
    if len(found) > 1:
        raise ValueError("expected one endpoint")
    return "".join(found)


def _setting(env: str, default: str, meaning: str, parse: Parse) -> Any:
    return field(metadata={"setting": Setting(env, default, meaning, parse)})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    @classmethod
    def rows(cls) -> list[Setting]:
        """Return the settings in the order of the table."""
        return [f.metadata["setting"] for f in fields(cls) if "setting" in f.metadata]

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Build the settings from environment variables; empty ones count as unset.

        Raises:
            SettingsError: a value cannot be used; the message names the variable and the value.
        """
        values = {}
        for f in fields(cls):
            row: Setting = f.metadata["setting"]
            raw = env.get(row.env) or row.default
            try:
                values[f.name] = row.parse(raw)
            except ValueError as error:
                raise SettingsError(f"{row.env}={raw!r}: {error}") from None
        return cls(**values)

    @classmethod
    def defaults(cls, **changes: Any) -> Self:
        """Build the default settings with some fields changed (for tests and tools)."""
        known = {f.name: f.metadata["setting"] for f in fields(cls) if f.default is MISSING}
        values = {name: row.parse(row.default) for name, row in known.items()}
        return cls(**(values | changes))


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonSettings(_Settings):
    """The settings that the gateway and the workers share."""

    gpu_workers: int = _setting(
        "GPU_WORKERS",
        "4",
        "worker processes; scripts/serve sets it to the GPUs found, else 4",
        integer(1, 64),
    )
    slots_per_gpu: int = _setting("SLOTS_PER_GPU", "4", "sessions a worker serves at once", integer(1, 256))
    run_dir: Path = _setting("RUN_DIR", "run", "directory of the sockets and the pid file, mode 0700", path)
    drain_s: float = _setting(
        "DRAIN_S", "15", "how long a process that is told to stop may flush or hand over its sessions", number(0, 600)
    )
    queue_messages: int = _setting(
        "QUEUE_MESSAGES", "4000", "messages that may wait between the gateway and one worker", integer(100, 10**6)
    )
    log_format: str = _setting(
        "LOG_FORMAT",
        "auto",
        "`json`, `console`, or `auto`: console on a terminal",
        choice("auto", "json", "console"),
    )
    log_level: str = _setting(
        "LOG_LEVEL", "info", "least level that is logged", choice("debug", "info", "warning", "error")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings(CommonSettings):
    host: str = _setting("HOST", "127.0.0.1", "address the gateway listens on", text)
    port: int = _setting("PORT", "8000", "port the gateway listens on", integer(0, 65535))
    worker_endpoint: str = _setting(
        "WORKER_ENDPOINT", "", "where workers connect; empty: `ipc://$RUN_DIR/workers.sock`", endpoint
    )
    api_tokens: tuple[str, ...] = _setting(
        "API_TOKENS", "", "comma-separated client tokens; empty: no token is asked for", words
    )
    allowed_origins: tuple[str, ...] = _setting(
        "ALLOWED_ORIGINS",
        "",
        "comma-separated origins of pages that may connect beside our own; `*`: any",
        words,
    )
    monitor_token: str = _setting(
        "MONITOR_TOKEN",
        "",
        "token that monitoring asks for; empty: none, and on a `HOST` that others reach they see no session ids and no "
        "`/monitor`",
        text,
    )
    journal_s: float = _setting(
        "JOURNAL_S", "60", "seconds of undecoded or uncommitted audio kept for a session", number(35, 600)
    )
    max_message_bytes: int = _setting(
        "MAX_MESSAGE_BYTES", "1048576", "largest WebSocket message", integer(1024, 16 * 2**20)
    )
    max_session_s: float = _setting(
        "MAX_SESSION_S", "14400", "longest session, in seconds since its start", number(1, 10 * 86400)
    )
    idle_timeout_s: float = _setting(
        "IDLE_TIMEOUT_S", "60", "a client that sends nothing for so long is disconnected", number(0.5, 86400)
    )
    stall_limit_s: float = _setting(
        "STALL_LIMIT_S",
        "60",
        "a client held back by a full journal is told so and ended when nothing was decoded for so long",
        number(1, 3600),
    )
    max_sockets: int = _setting("MAX_SOCKETS", "0", "WebSockets open at once; 0: 4 x slots + 64", integer(0, 100_000))
    max_unread: int = _setting(
        "MAX_UNREAD", "10000", "messages a client may leave unread before it is ended", integer(10, 10**6)
    )
    send_limit_s: float = _setting(
        "SEND_LIMIT_S", "30", "a client that does not take its last messages for so long is cut off", number(1, 3600)
    )
    start_wait_s: float = _setting(
        "START_WAIT_S",
        "60",
        "how long a session waits for the first worker after the gateway's start",
        number(0, 3600),
    )
    open_wait_s: float = _setting(
        "OPEN_WAIT_S", "120", "how long a worker may take to load its weights for a session", number(1, 3600)
    )
    line_wait_s: float = _setting(
        "LINE_WAIT_S", "60", "how long a session that lost its worker waits in line for another slot", number(0, 3600)
    )
    resume_grace_s: float = _setting(
        "RESUME_GRACE_S", "30", "how long a session waits for a client whose network dropped", number(0, 3600)
    )
    worker_lost_s: float = _setting("WORKER_LOST_S", "2", "a worker silent for so long is lost", number(0.3, 600))
    finish_wait_s: float = _setting(
        "FINISH_WAIT_S", "120", "how long the last words may take after the end of audio", number(1, 3600)
    )

    def endpoint(self) -> str:
        """Return the address to bind, of the setting or in the run directory."""
        return self.worker_endpoint or f"ipc://{self.run_dir.resolve()}/workers.sock"

    def socket_limit(self, slots: int) -> int:
        """Return how many WebSockets may be open at once when the workers have this many slots."""
        return self.max_sockets or 4 * slots + 64


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings(CommonSettings):
    gpu_id: int = _setting("GPU_ID", "0", "the worker's number; supervisord sets it", integer(0, 1023))
    worker_name: str = _setting("WORKER_NAME", "", "unique name across hosts; empty: `gpu<GPU_ID>`", text)
    gateway_endpoints: tuple[str, ...] = _setting(
        "GATEWAY_ENDPOINTS", "", "gateways to serve; empty: `ipc://$RUN_DIR/workers.sock`", endpoints
    )
    whisper_model: str = _setting(
        "WHISPER_MODEL",
        "",
        "an official Whisper name or a checkpoint's path; empty: `tiny.en` on the CPU, `large-v3-turbo` on CUDA",
        text,
    )
    model_cache_dir: str = _setting("MODEL_CACHE_DIR", "", "directory of the weights; empty: `~/.cache/whisper`", text)
    model_idle_unload_s: float = _setting(
        "MODEL_IDLE_UNLOAD_S",
        "10",
        "seconds after its last session until a worker's weights leave the device; 0: at once, negative: never",
        number(-1, 86400),
    )
    device: str = _setting(
        "DEVICE", "auto", "`cpu`, `cuda`, or `auto`: CUDA where there is a GPU", choice("auto", "cpu", "cuda")
    )
    torch_threads: int = _setting(
        "TORCH_THREADS", "0", "threads of one CPU worker; 0: cores / workers, at least 1", integer(0, 256)
    )
    step_min_s: float = _setting(
        "STEP_MIN_S", "0.5", "shortest period of a session's recognition steps", number(0.1, 10)
    )
    step_max_s: float = _setting("STEP_MAX_S", "2", "longest period under load", number(0.1, 30))
    gateway_lost_s: float = _setting(
        "GATEWAY_LOST_S", "10", "a gateway silent for so long loses its sessions here", number(1, 600)
    )

    def name(self) -> str:
        return self.worker_name or f"gpu{self.gpu_id}"

    def endpoints(self) -> tuple[str, ...]:
        """Return the addresses to connect to, of the setting or in the run directory."""
        return self.gateway_endpoints or (f"ipc://{self.run_dir.resolve()}/workers.sock",)
