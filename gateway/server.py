"""Runs uvicorn with the gateway's application, from the start to an orderly end (shell)."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn

from gateway.app import create_app, create_gateway
from gateway.transport.uvicorn_protocol import Protocol, self_test
from shared import logs
from shared.errors import SettingsError
from shared.settings import GatewaySettings

log = logs.get("gateway")

DEAD_PEER_MS = 60_000
"""The kernel drops a connection whose peer has not acknowledged data for this long."""

PING_INTERVAL_S = 20.0
"""A client hears from the server at least this often, in silence too: proxies cut what is quiet for a minute."""

RECEIVE_BUFFER_BYTES = 128 * 1024
"""What the kernel holds of a client that sends faster than is decoded: a ping behind it is answered in seconds."""

FAILED_DRAIN_S = 1.0
"""After a failure the sessions get only this long to end: what they wait for may never come."""


class Server(uvicorn.Server):
    """uvicorn without its signal handlers, which would close every connection at once: `serve` handles signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: GatewaySettings) -> bool:
    """Run the gateway until SIGTERM or SIGINT, then flush its sessions; return False if it ended because of a failure.

    Raises:
        SettingsError: the address cannot be used.
        UnfitServerError: the gateway cannot work with the installed uvicorn.
    """
    await self_test()
    gateway = create_gateway(settings)
    manager, background = gateway.manager, gateway.background
    config = uvicorn.Config(
        create_app(settings, gateway),
        ws=Protocol,
        ws_max_size=settings.max_message_bytes,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=None,  # the system ends a connection whose peer is silent: DEAD_PEER_MS
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=2,
    )
    server = Server(config)
    listener = listen(settings.host, settings.port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    failing = asyncio.create_task(background.failed.wait())
    host, port = listener.getsockname()[:2]
    log.info(f"Gateway listens on http://{host}:{port}/", event_id="gateway_started", host=host, port=port)
    await asyncio.wait({serving, stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        log.info("Gateway stops", event_id="gateway_stopping", sessions=manager.session_count)
        try:
            await manager.drain(FAILED_DRAIN_S if background.failure else settings.drain_s)
        except Exception:  # a gateway that has failed must end all the same
            log.exception("the sessions could not be ended", event_id="drain_failed")
        server.should_exit = True
    await serving
    stopping.cancel()
    failing.cancel()
    return background.failure is None


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on this address.

    Raises:
        SettingsError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(f"HOST={host!r} PORT={port}: {error.strerror or error}") from error
    return listener
