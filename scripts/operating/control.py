"""Asks supervisord over its unix socket (shell)."""

import http.client
import xmlrpc.client
from pathlib import Path

from supervisor.xmlrpc import SupervisorTransport

DOWN = frozenset({"STOPPED", "EXITED", "FATAL"})


class ControlError(Exception):
    """supervisord cannot be asked, or refuses; the message says so."""


class Control:
    """The supervisord of one server.

    Args:
        run_dir: the server's run directory.
    """

    def __init__(self, run_dir: Path) -> None:
        self._socket = run_dir / "supervisor.sock"

    def info(self, gpu_id: int) -> tuple[str, int]:
        """Return supervisord's word for the worker's state, and its pid (0 if it does not run)."""
        answer = self._call("getProcessInfo", _name(gpu_id))
        if not isinstance(answer, dict):
            raise ControlError(f"supervisord answered {answer!r}")
        return str(answer["statename"]), int(answer["pid"])

    def signal(self, gpu_id: int, name: str) -> None:
        """Send the worker a signal, like ``TERM``."""
        self._call("signalProcess", _name(gpu_id), name)

    def start(self, gpu_id: int) -> None:
        """Start a worker that is down."""
        self._call("startProcess", _name(gpu_id), False)  # noqa: FBT003 - XML-RPC has no keywords

    def _call(self, method: str, *arguments: str | bool) -> object:
        if not self._socket.exists():
            raise ControlError(f"There is no supervisord at {self._socket}: is the server running, with this RUN_DIR?")
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport)  # the transport ignores the address
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as error:
            raise ControlError(f"supervisord: {error.faultString}") from error
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise ControlError(f"supervisord at {self._socket} does not answer: {error}") from error
        finally:
            transport.close()


def _name(gpu_id: int) -> str:
    return f"gpu_worker:gpu_worker_{gpu_id}"
