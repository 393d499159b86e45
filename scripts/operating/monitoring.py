"""Asks the gateway over HTTP (shell)."""

import http.client
import json
import urllib.error
import urllib.request

from scripts.operating.overview import Overview, read_overview
from scripts.operating.status import Status, read
from scripts.operating.values import Json

TIMEOUT_S = 5.0


class UnreachableError(Exception):
    """The gateway does not answer, or is none of ours; the message says so."""


class Monitoring:
    """The monitoring endpoints of one gateway.

    Args:
        url: its address, like http://127.0.0.1:8000.
        token: its MONITOR_TOKEN, if it has one.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        # A proxy of the environment is for the world outside.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def status(self) -> Status:
        """Return the present status.

        Raises:
            UnreachableError: there is no answer, or an odd one.
        """
        try:
            return read(self._get("/gpu-status"), self._get("/performance"))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise UnreachableError(f"{self._url}: {error}") from error

    def overview(self) -> Overview:
        """Return everything that the monitor page shows.

        Raises:
            UnreachableError: there is no answer, or an odd one.
        """
        try:
            return read_overview(self._get("/monitor/state"))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise UnreachableError(f"{self._url}: {error}") from error

    def _get(self, path: str) -> Json:
        if not self._url.startswith(("http://", "https://")):
            raise ValueError("the address must begin with http:// or https://")
        request = urllib.request.Request(self._url + path, headers=self._headers)  # noqa: S310 - checked just above
        with self._opener.open(request, timeout=TIMEOUT_S) as answer:
            body = json.load(answer)
        if not isinstance(body, dict):
            raise ValueError(f"{path} is no JSON object")  # noqa: TRY004 - it is the value that is wrong
        return body
