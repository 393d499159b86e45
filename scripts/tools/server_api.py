"""Read what a server tells about itself: /health, /gpu-status, /performance and /monitor/state.

The dataclasses hold what commands use of these bodies; a field has the name of its key.
"""

import contextlib
import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import urlsplit

from scripts.tools.decoding import Json, decode

TIMEOUT_S = 5.0

_Kind = TypeVar("_Kind")


class UnreachableError(Exception):
    """The server does not answer, or not as it should; the message is one line for the user."""


class AnswerError(UnreachableError):
    """It answers, but not with what is asked for: it is none of ours, or wants a token."""


@dataclass(frozen=True, slots=True)
class Capacity:
    utilization_percent: float | None


@dataclass(frozen=True, slots=True)
class Health:
    status: str
    model: str | None
    capacity: Capacity | None


@dataclass(frozen=True, slots=True)
class Worker:
    """One GPU's worker in /gpu-status; beyond the operator guide's own keys all are optional.

    ``boot`` names one life of it, ``weights`` is ``device``, ``host`` or ``loading``.
    """

    gpu_id: int
    active_connections: int
    connection_ids: frozenset[str] | None
    allocated_memory_gb: float | None
    slots: int = 0
    state: str = "serving"
    boot: str | None = None
    weights: str | None = None
    device: str | None = None
    lag_s: float | None = None

    @property
    def serving(self) -> bool:
        return self.state == "serving"

    @property
    def free(self) -> int:
        return max(0, self.slots - self.active_connections)


@dataclass(frozen=True, slots=True)
class GpuStatus:
    """The body of /gpu-status, its workers by number; sessions without a slot wait for one, or for their client."""

    gpus: tuple[Worker, ...]
    waiting_connection_ids: frozenset[str] | None
    graced_connection_ids: frozenset[str] | None
    total_connections: int | None

    @property
    def lag_s(self) -> float | None:
        return max((gpu.lag_s for gpu in self.gpus if gpu.lag_s is not None), default=None)

    def worker(self, gpu_id: int) -> Worker | None:
        return next((gpu for gpu in self.gpus if gpu.gpu_id == gpu_id), None)


@dataclass(frozen=True, slots=True)
class Move:
    """A session went on on another worker, after ``gap_ms`` without one; ``at`` is Unix time."""

    connection: str | None
    from_gpu: int | None
    to_gpu: int | None
    reason: str
    gap_ms: float
    at: float


@dataclass(frozen=True, slots=True)
class Ending:
    connection: str | None
    outcome: str


@dataclass(frozen=True, slots=True)
class Averages:
    setup_time_ms: float | None


@dataclass(frozen=True, slots=True)
class Performance:
    averages: Averages | None
    recent_moves: tuple[Move, ...] = ()
    recent_endings: tuple[Ending, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionRow:
    id: str
    state: str
    age_s: float | None
    lag_s: float | None


@dataclass(frozen=True, slots=True)
class GpuRow:
    gpu_id: int
    state: str
    used: int
    slots: int
    memory_used_gb: float | None
    memory_total_gb: float | None
    utilization_percent: float | None
    lag_s: float | None
    boots: int
    weights: str | None
    sessions: tuple[SessionRow, ...]


@dataclass(frozen=True, slots=True)
class Event:
    at: float
    kind: str
    session: str | None
    gpu_id: int | None
    from_gpu: int | None
    detail: str | None
    count: int


@dataclass(frozen=True, slots=True)
class History:
    setup_median_ms: float | None
    refused: int


@dataclass(frozen=True, slots=True)
class MonitorState:
    status: str
    uptime_s: float
    used_slots: int
    total_slots: int
    model: str | None
    lag_s: float | None
    history: History
    gpus: tuple[GpuRow, ...]
    elsewhere: tuple[SessionRow, ...]
    events: tuple[Event, ...]
    body: Json | None = field(default=None, repr=False)


class ServerApi:
    """The monitoring endpoints of one server; UnreachableError where there is no answer, or an odd one.

    Its address may also be that of its sessions, ``ws(s)://host/.../asr``; the token is its MONITOR_TOKEN.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url.partition("?")[0])
        scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
        self.host = parts.hostname or ""
        self.port = 0
        with contextlib.suppress(ValueError):  # a port that is none is told by the first request
            self.port = parts.port or (443 if scheme == "https" else 80)
        self.url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/asr').rstrip('/')}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        # A proxy of the environment is for the world outside.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def health(self) -> Health:
        return read(Health, "/health", self._good("/health"))

    def gpu_status(self) -> GpuStatus:
        return read_gpu_status(self._good("/gpu-status"))

    def performance(self) -> Performance:
        return read(Performance, "/performance", self._good("/performance"))

    def monitor_state(self) -> MonitorState:
        body = self._good("/monitor/state")
        return replace(read(MonitorState, "/monitor/state", body), body=body)

    def get(self, path: str) -> Json:
        """Return the JSON object at a path, whatever the HTTP status."""
        return self._get(path)[1]

    def _good(self, path: str) -> Json:
        status, body = self._get(path)
        if status >= 400 and path != "/health":  # which is 503 when no slot is free
            told = body.get("error") or body.get("detail") or "refused"
            raise AnswerError(f"{self.url}{path}: {told} (HTTP {status})")
        return body

    def _get(self, path: str) -> tuple[int, Json]:
        if not self.url.startswith(("http://", "https://")):
            raise AnswerError(f"{self.url}: the address must begin with http:// or https://")
        request = urllib.request.Request(self.url + path, headers=self._headers)  # noqa: S310 - checked just above
        try:
            with self._open(request) as answer:
                status, text = answer.status, answer.read()
        except (OSError, ValueError, OverflowError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            if isinstance(reason, ConnectionRefusedError):
                raise UnreachableError(
                    f"nothing listens at {self.url}; is scripts/serve running, on another PORT?"
                ) from error
            raise UnreachableError(f"{self.url}{path}: {reason or type(error).__name__}") from error
        try:
            body = json.loads(text)
        except ValueError as error:
            raise AnswerError(f"{self.url}{path} is no JSON (HTTP {status})") from error
        if not isinstance(body, dict):
            raise AnswerError(f"{self.url}{path} is no JSON object (HTTP {status})")
        return status, body

    def _open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:  # an answer all the same
            return error  # type: ignore[return-value]  # it has `status` and `read`
        return answer


def read_gpu_status(body: Json) -> GpuStatus:
    """Return what the body of /gpu-status tells; AnswerError if it is none.

    A worker that does not tell its slots has the server's ``max_connections_per_gpu``.
    """
    most, rows = body.get("max_connections_per_gpu"), body.get("gpus")
    if isinstance(rows, list):
        filled = [row | {"slots": row.get("slots") or most or 0} if isinstance(row, dict) else row for row in rows]
        body = {**body, "gpus": filled}
    seen = read(GpuStatus, "/gpu-status", body)
    return replace(seen, gpus=tuple(sorted(seen.gpus, key=lambda gpu: gpu.gpu_id)))


def read(kind: type[_Kind], path: str, body: Json) -> _Kind:
    """Return what the body of a path tells; AnswerError if it tells something else."""
    try:
        return decode(kind, body)
    except ValueError as error:
        raise AnswerError(f"the server does not answer like our gateway: {path}: {error}") from error
