"""The real gateway with one fault, for `scripts/verify_scaling` to find or for its log to tell.

``GATEWAY_FAULT`` names it: ``first_gpu`` (a GPU is filled before the next one gets a session), ``surplus`` (one slot a worker
is kept secret, and served), ``slow_accept`` (a socket is accepted after half a second), ``always_healthy``,
``socket_lost`` (the socket to the workers is closed after some seconds).
"""

import asyncio
import json
import os
import sys

from gateway import server
from gateway.__main__ import main
from gateway.monitoring.snapshot import health_status
from gateway.placement.workers import WorkerRegistry
from gateway.transport.worker_link import WorkerLink

FAULT = os.environ["GATEWAY_FAULT"]
ACCEPT_S = 0.5
SOCKET_LOST_AFTER_S = 3.0


class WrongAnswers:
    """Answers for the application where the fault is in what the server says or when."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        """Serve one request."""
        if scope["type"] == "websocket" and FAULT == "slow_accept":
            await asyncio.sleep(ACCEPT_S)
        changes = {("/gpu-status", "surplus"): hide, ("/health", "surplus"): less, ("/health", "always_healthy"): fine}
        change = changes.get((scope.get("path"), FAULT)) if scope["type"] == "http" else None
        await self._app(scope, receive, changed(send, change) if change else send)


def changed(send, change):
    """Return a ``send`` that changes a JSON body, which comes in one piece."""
    held = {}

    async def forward(message):
        if message["type"] == "http.response.start":
            held.update(message)
            return
        body = json.loads(message["body"])
        change(body)
        text = json.dumps(body).encode()
        others = [pair for pair in held["headers"] if pair[0] != b"content-length"]
        await send(held | {"headers": [*others, (b"content-length", str(len(text)).encode())]})
        await send(message | {"body": text})

    return forward


def hide(gpu_status):
    """Keep a slot of each worker secret."""
    gpu_status["max_connections_per_gpu"] -= 1
    for gpu in gpu_status["gpus"]:
        gpu["slots"] -= 1


def less(health):
    """Say how much is used of the slots that are told."""
    capacity = health["capacity"]
    capacity["total_slots"] -= health["gpus"]["total"]
    if capacity["total_slots"] > 0:
        share = capacity["utilization_percent"] = 100.0 * capacity["used_slots"] / capacity["total_slots"]
        health["status"] = health_status(share)


def fine(health):
    """Say that all is well."""
    health["status"] = "healthy"


if __name__ == "__main__":
    if FAULT == "first_gpu":
        with_room = WorkerRegistry.with_room
        WorkerRegistry.with_room = lambda registry: with_room(registry)[:1]
        WorkerRegistry.most_overloaded = lambda _pool: None
    if FAULT == "socket_lost":
        bind = WorkerLink.bind
        WorkerLink.bind = lambda link: (
            bind(link) or asyncio.get_running_loop().call_later(SOCKET_LOST_AFTER_S, link._socket.close)
        )
    create_app = server.create_app
    server.create_app = lambda *arguments: WrongAnswers(create_app(*arguments))
    sys.exit(main())
