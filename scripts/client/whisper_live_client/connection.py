"""Open the WebSocket of a session."""

import errno
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI, ProxyError

# Without a bound a network that swallows everything would be noticed after a quarter of an hour.
_SILENT_PEER_S = 20


class ClientError(Exception):
    """The session did not come to be, or ended before its time."""


class ConnectError(ClientError):
    """No WebSocket could be opened; ``status`` is the HTTP status where the server answered with one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SessionClosedError(ClientError):
    """Nothing can be sent any more: the connection is closed."""


@dataclass(frozen=True, slots=True)
class Connector:
    """Opens the connections of one session; with ``notice_silence`` a peer that no longer answers breaks them."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    timeout_s: float
    notice_silence: bool

    async def open(self, query: Mapping[str, str], timeout_s: float | None = None) -> ClientConnection:
        host = urlsplit(self.url).hostname or ""
        try:
            connection = await connect(
                session_url(self.url, query),
                additional_headers=self.headers,
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
        except ImportError as error:  # python-socks, which websockets needs for such a proxy only
            reason = "the environment leads there through a SOCKS proxy, which needs python-socks"
            raise ConnectError(f"{reason}: pip install python-socks, or set NO_PROXY={host}") from error
        except (InvalidProxy, ProxyError) as error:
            reason = f"the proxy that the environment names: {error}; to go without, set NO_PROXY={host}"
            raise ConnectError(f"cannot connect to {host}: {reason}") from error
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            reason, server = str(error) or type(error).__name__, self.url.partition("?")[0]
            if _goes_through_proxy(host):
                reason = f"{reason} (through the proxy that the environment names; to go without, set NO_PROXY={host})"
            elif f"[Errno {errno.ECONNREFUSED}]" in reason:  # of one address, or in the list of several
                reason = f"nothing listens at {server}; is scripts/serve running, on another PORT?"
                raise ConnectError(reason) from error
            raise ConnectError(f"cannot connect to {server}: {reason}") from error
        if self.notice_silence:
            _notice_silence(connection)
        return connection


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


def _goes_through_proxy(host: str) -> bool:
    return bool(getproxies()) and not _is_loopback(host) and not proxy_bypass(host)


def _is_loopback(host: str) -> bool:
    """Return True if a host is this machine: an HTTP proxy of the environment could not reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
