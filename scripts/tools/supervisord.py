"""Ask and direct the supervisord of a server over its unix socket."""

import http.client
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path

from supervisor.xmlrpc import SupervisorTransport

DOWN = frozenset({"STOPPED", "EXITED", "FATAL"})


class SupervisordError(Exception):
    """supervisord cannot be asked, or refuses; the message says so."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process as supervisord sees it: ``age_s`` is None unless it runs, ``exit_status`` unless it has ended."""

    name: str
    state: str
    pid: int | None
    age_s: float | None
    exit_status: int | None


class Supervisord:
    """The supervisord of the server with this run directory; all methods raise `SupervisordError`."""

    def __init__(self, run_dir: Path) -> None:
        self._socket = run_dir / "supervisor.sock"

    def worker(self, gpu_id: int) -> Process:
        return self.process(_name(gpu_id))

    def process(self, name: str) -> Process:
        """Return one process by its name, which has the group in front where there is one."""
        return _process(self._call("getProcessInfo", name))

    def processes(self) -> list[Process]:
        answer = self._call("getAllProcessInfo")
        if not isinstance(answer, list):
            raise SupervisordError(f"supervisord answered {answer!r}")
        return [_process(each) for each in answer]

    def signal(self, gpu_id: int, name: str) -> None:
        self._call("signalProcess", _name(gpu_id), name)

    def start(self, gpu_id: int) -> None:
        self._call("startProcess", _name(gpu_id), False)  # noqa: FBT003 - XML-RPC has no keywords

    def _call(self, method: str, *arguments: str | bool) -> object:
        if not self._socket.exists():
            raise SupervisordError(
                f"There is no supervisord at {self._socket}: is the server running, with this RUN_DIR?"
            )
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport)  # the transport ignores the address
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as error:
            raise SupervisordError(f"supervisord: {error.faultString}") from error
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise SupervisordError(f"supervisord at {self._socket} does not answer: {error}") from error
        finally:
            transport.close()


def _process(info: object) -> Process:
    if not isinstance(info, dict):
        raise SupervisordError(f"supervisord answered {info!r}")
    state, pid = str(info["statename"]), int(info["pid"])
    return Process(
        name=str(info["name"]),
        state=state,
        pid=pid or None,
        age_s=float(info["now"]) - float(info["start"]) if pid else None,
        exit_status=int(info["exitstatus"]) if state in DOWN and info["start"] else None,
    )


def _name(gpu_id: int) -> str:
    return f"gpu_worker:gpu_worker_{gpu_id}"
