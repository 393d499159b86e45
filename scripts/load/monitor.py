"""Read the server's own endpoints (shell)."""

import http.client
import json
from typing import cast
from urllib.parse import urlsplit

_TIMEOUT_S = 5.0

JsonObject = dict[str, object]


class UnreachableError(Exception):
    """The server does not answer, or not with what it should; the message is one line for the user."""


class Monitor:
    """The monitoring endpoints of the server that a session address belongs to."""

    def __init__(self, session_address: str, token: str | None) -> None:
        """Point at the server.

        Args:
            session_address: ``ws(s)://host/.../asr``.
            token: sent as Bearer where there is one.
        """
        parts = urlsplit(session_address)
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "wss" else 80)
        self._secure = parts.scheme == "wss"
        self._prefix = parts.path.removesuffix("/asr")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str) -> JsonObject:
        """Return the JSON object at a path, whatever the HTTP status (``/health`` is 503 when there is no slot).

        Raises:
            UnreachableError: there is none.
        """
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self.host, self.port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", self._prefix + path, headers=self._headers)
            response = connection.getresponse()
            body = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnreachableError(f"{path} at {self.host}:{self.port}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if not isinstance(body, dict):
            raise UnreachableError(f"{path} at {self.host}:{self.port} is no JSON object (HTTP {response.status})")
        return body

    def lag_s(self) -> float | None:
        """Return the largest lag of any worker; None where the server does not say."""
        try:
            gpus = self.get("/gpu-status").get("gpus")
        except UnreachableError:
            return None
        rows = cast("list[JsonObject]", gpus if isinstance(gpus, list) else [])
        lags_s = [lag_s for row in rows if isinstance(lag_s := row.get("lag_s"), (int, float))]
        return max(lags_s, default=None)

    def sessions(self) -> int | None:
        """Return how many sessions have a slot; None where the server does not say."""
        try:
            count = self.get("/gpu-status").get("total_connections")
        except UnreachableError:
            return None
        return count if isinstance(count, int) else None
