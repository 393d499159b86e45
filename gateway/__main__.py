"""``python -m gateway``: settings, logs, server."""

import asyncio
import logging
import os
import sys

from gateway.server import serve
from gateway.transport.uvicorn_protocol import UnfitServerError
from shared import logs
from shared.errors import SettingsError
from shared.settings import GatewaySettings

CANNOT_START = 3
"""Exit code of a process that can never start, so that its supervisor does not try again."""

FAILED = 1
"""Exit code after a failure, upon which a supervisor starts the process again."""


def main() -> int:
    """Run the gateway and return its exit code."""
    try:
        settings = GatewaySettings.from_env(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return CANNOT_START
    logs.configure(log_format=settings.log_format, level=settings.log_level, process="gateway")
    # At a lower level uvicorn logs the address of each WebSocket with its query, which may hold a token.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        ended_well = asyncio.run(serve(settings))
    except (SettingsError, UnfitServerError) as error:
        sys.stderr.write(f"gateway: {error}\n")
        return CANNOT_START
    return 0 if ended_well else FAILED


if __name__ == "__main__":
    sys.exit(main())
