"""Start the gateway: settings, logs, uvicorn."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn

from gateway.app import create_app, create_switchboard
from shared import logs
from shared.errors import SettingsError
from shared.settings import GatewaySettings

NEVER = 3
"""Exit code of a process that can never start, so that its supervisor does not try again."""

DEAD_PEER_MS = 60_000
"""The kernel drops a connection whose peer has not taken data for so long."""


class Server(uvicorn.Server):
    """uvicorn without its signal handlers, which would close every socket at once."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`."""
        yield


async def serve(settings: GatewaySettings) -> None:
    """Run the gateway until SIGTERM or SIGINT, then flush its sessions and return."""
    log = logs.get("gateway")
    link, switchboard = create_switchboard(settings)
    config = uvicorn.Config(
        create_app(settings, link, switchboard),
        ws="websockets-sansio",
        ws_max_size=2 * settings.max_message_bytes,
        ws_ping_interval=None,
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
    host, port = listener.getsockname()[:2]
    log.info(f"Gateway listens on http://{host}:{port}/", event_id="gateway_started", host=host, port=port)
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        log.info("Gateway stops", event_id="gateway_stopping", sessions=switchboard.sessions)
        await switchboard.drain(settings.drain_s)
        server.should_exit = True
    await serving
    stopping.cancel()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        SettingsError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(f"HOST={host!r} PORT={port}: {error.strerror or error}") from error
    return listener


def main() -> int:
    """Run the gateway and return its exit code."""
    try:
        settings = GatewaySettings.from_env(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return NEVER
    logs.configure(log_format=settings.log_format, level=settings.log_level, process="gateway")
    # uvicorn writes each WebSocket's address with its query, which may hold a token.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        asyncio.run(serve(settings))
    except SettingsError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return NEVER
    return 0


if __name__ == "__main__":
    sys.exit(main())
