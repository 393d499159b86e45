"""Open the WebSocket of a session."""

import asyncio
import ipaddress
import random
import socket
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Origin

from .retry import Disconnect, RetryPolicy

# Without a bound a network that swallows everything would be noticed after a quarter of an hour.
_SILENT_PEER_S = 20
_SHORTEST_TRY_S = 1.0


class ClientError(Exception):
    """The session did not come to be, or ended before its time."""


class ConnectError(ClientError):
    """No WebSocket could be opened; ``status`` is the HTTP status where the server answered with one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SessionClosedError(ClientError):
    """Nothing can be sent any more: the connection is closed."""


class Connector:
    """Opens the connections of one session.

    Args:
        url: the session's address.
        headers: sent with every request.
        origin: the Origin header, if there is to be one.
        timeout_s: how long opening may take.
        retry: decides about every connection after the first.
    """

    def __init__(
        self, url: str, *, headers: Mapping[str, str], origin: str | None, timeout_s: float, retry: RetryPolicy
    ) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self._headers = headers
        self._origin = Origin(origin) if origin else None
        self.retry = retry

    async def open(self, query: Mapping[str, str], timeout_s: float | None = None) -> ClientConnection:
        """Open a WebSocket.

        Raises:
            ConnectError: it could not be opened; the message says why.
        """
        host = urlsplit(self.url).hostname or ""
        try:
            connection = await connect(
                session_url(self.url, query),
                origin=self._origin,
                additional_headers=self._headers,
                compression=None,
                proxy=None if _is_loopback(host) else True,
                open_timeout=timeout_s or self.timeout_s,
                close_timeout=2.0,
                ping_interval=None,
                max_size=64 * 2**20,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            raise ConnectError(f"{host} answered HTTP {status}, no WebSocket", status) from error
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            reason = str(error) or type(error).__name__
            raise ConnectError(f"cannot connect to {_without_query(self.url)}: {reason}") from error
        if self.retry.limit_s:
            _notice_silence(connection)
        return connection

    async def open_again(self, disconnect: Disconnect, query: Mapping[str, str]) -> ClientConnection | None:
        """Open another WebSocket after one that ended; None where that is no use.

        Raises:
            ConnectError: it could not be opened in time; the message says why.
        """
        failure: ConnectError | None = None
        while True:
            now = time.monotonic()
            delay_s = self.retry.delay_s(disconnect, now, random.random())  # noqa: S311 - spreads clients, no secret
            if delay_s is None:
                break
            await asyncio.sleep(delay_s)
            remaining_s = self.retry.remaining_s(time.monotonic())
            try:
                return await self.open(query, min(self.timeout_s, max(_SHORTEST_TRY_S, remaining_s)))
            except ConnectError as error:
                disconnect, failure = Disconnect(http_status=error.status), error
        if failure is None:
            return None
        limit_s = self.retry.limit_s
        raise ConnectError(f"the connection was lost and not restored within {limit_s:g} s: {failure}")


def _notice_silence(connection: ClientConnection) -> None:
    """Have the system break the connection when its peer's machine no longer answers (where it can: Linux)."""
    channel = connection.transport.get_extra_info("socket")
    if channel is None or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT_PEER_S * 1000)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENT_PEER_S // 4)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _SILENT_PEER_S // 4)


def session_url(url: str, parameters: Mapping[str, str]) -> str:
    """Build the WebSocket address of a session from the server's address.

    Raises:
        ValueError: no such address can be built; the message says why.
    """
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    if parts.scheme not in schemes or not parts.hostname or parts.port == 0:  # a port that is none raises here
        raise ValueError(f"not the address of a server: {url!r} (like ws://127.0.0.1:8000/asr)")
    query = parse_qsl(parts.query, keep_blank_values=True)
    if any(key == "token" for key, _ in query) or parts.password:
        raise ValueError("a token in a URL ends up in logs: use API_TOKEN or --token")
    path = parts.path.rstrip("/")
    if not path.endswith("/asr"):
        path += "/asr"
    query = [(key, value) for key, value in query if key not in parameters] + list(parameters.items())
    return urlunsplit((schemes[parts.scheme], parts.netloc, path, urlencode(query), ""))


def _without_query(url: str) -> str:
    return url.partition("?")[0]


def _is_loopback(host: str) -> bool:
    """Return True if a host is this machine: an HTTP proxy of the environment could not reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
