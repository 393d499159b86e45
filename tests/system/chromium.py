"""A headless Chromium for tests, driven by its DevTools protocol over one WebSocket; nothing to install beside it."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.sync.client import ClientConnection, connect

START_TIMEOUT_S = 90.0
CALL_TIMEOUT_S = 60.0
LATE_S = 2.5
"""By how much what a page does may seem longer or shorter from here: the machine may be crowded."""
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--use-fake-device-for-media-stream",
)


def installed() -> str | None:
    """Return the path of a Chromium or Chrome on this machine, if there is one."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


NEEDED = [
    pytest.mark.system,
    pytest.mark.skipif(installed() is None, reason="Chromium is not installed"),
]
"""The marks of tests that drive it."""


class PageError(AssertionError):
    """The page raised, or did not do in time what was waited for."""


class Chromium:
    """One browser with one page; a context manager.

    Args:
        microphone: a WAV that the fake microphone plays once at each opening, then silence; None: beeps.
        allow: whether the person allows the microphone when asked.
        flags: further command line flags.
    """

    def __init__(self, microphone: Path | None = None, *, allow: bool = True, flags: tuple[str, ...] = ()) -> None:
        self._closing = contextlib.ExitStack()
        self._profile = Path(tempfile.mkdtemp(prefix="chromium-"))
        voice = () if microphone is None else (f"--use-file-for-fake-audio-capture={microphone}%noloop",)
        answer = "--use-fake-ui-for-media-stream" + ("" if allow else "=deny")
        command = [str(installed()), *FLAGS, answer, *voice, *flags, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._ids = itertools.count(1)
        self.console: list[str] = []
        try:
            self._socket = self._attach()
            for domain in ("Page", "Runtime", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and every process it started."""
        self._closing.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    def _attach(self) -> ClientConnection:
        port_file = self._profile / "DevToolsActivePort"
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (port_file.exists() and port_file.read_text().count("\n") > 0):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("Chromium did not start.")
            time.sleep(0.05)
        port = self._port = port_file.read_text().splitlines()[0]
        while True:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=CALL_TIMEOUT_S) as answer:
                targets = json.load(answer)
            for target in targets:
                if target["type"] == "page":
                    return self._closing.enter_context(connect(target["webSocketDebuggerUrl"], max_size=None))
            if time.monotonic() > deadline:
                raise RuntimeError("Chromium opened no page.")

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call a DevTools method and return its result."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        deadline = time.monotonic() + CALL_TIMEOUT_S
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv(timeout=max(0.0, deadline - time.monotonic())))
            if message.get("id") == number:
                if "error" in message:
                    raise PageError(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        """Keep what the page writes to its console, what it raises, and what the browser says about it."""
        params = event.get("params", {})
        if event.get("method") == "Page.javascriptDialogOpening":
            # "Leave this page?" during a recording: the test knows what it does. The answer's answer is of no interest.
            answer = {"id": next(self._ids), "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            self._socket.send(json.dumps(answer))
        elif event.get("method") == "Runtime.consoleAPICalled":
            said = " ".join(str(arg.get("value", arg.get("description"))) for arg in params["args"])
            self.console.append(f"{params['type']}: {said}")
        elif event.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.console.append(f"exception: {details.get('exception', {}).get('description', details['text'])}")
        elif event.get("method") == "Log.entryAdded":
            self.console.append(
                f"{params['entry']['level']}: {params['entry']['text']} {params['entry'].get('url', '')}"
            )

    @contextlib.contextmanager
    def other_tab(self) -> Iterator[None]:
        """Drive the tab that was opened last, in place of the first one, until the end of the block; then it is closed."""
        first = self._socket
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/json/list", timeout=CALL_TIMEOUT_S) as answer:
            newest = next(target for target in json.load(answer) if target["type"] == "page")
        with connect(newest["webSocketDebuggerUrl"], max_size=None) as socket:
            self._socket = socket
            try:
                for domain in ("Page", "Runtime", "Log"):
                    self.call(f"{domain}.enable")
                yield
                self.call("Page.close")
            finally:
                self._socket = first

    def navigate(self, url: str) -> None:
        """Open an address and wait until it is loaded; the console begins anew."""
        self.call("Page.navigate", url="about:blank")
        self.wait_for("document.readyState === 'complete' && location.href === 'about:blank'")
        self.console.clear()
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise PageError(answer["exceptionDetails"]["exception"].get("description", "the page raised"))
        return answer["result"].get("value")

    def wait_for(self, expression: str, timeout_s: float = 40.0) -> None:
        """Evaluate the expression until it is true in JavaScript's sense."""
        deadline = time.monotonic() + timeout_s
        while not self._holds(expression):
            if time.monotonic() > deadline:
                text = self.evaluate("document.body.innerText")
                raise PageError(
                    f"waited {timeout_s} s for {expression}\n--- page:\n{text}\n--- console:\n{self.console}"
                )
            time.sleep(0.05)

    def _holds(self, expression: str) -> bool:
        try:
            return bool(self.evaluate(f"Boolean({expression})"))
        except PageError as error:
            if "navigated" in str(error):
                return False  # the page was left while it was asked
            raise

    def text(self, selector: str) -> str:
        """Return the visible text of the first element that the selector finds."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def click(self, selector: str) -> None:
        """Click the middle of an element with the mouse; fails if something else lies above it."""
        x, y = self.evaluate(f"""(() => {{
            const node = document.querySelector({json.dumps(selector)});
            node.scrollIntoView({{block: "nearest"}});
            const {{left, top, width, height}} = node.getBoundingClientRect();
            const [x, y] = [left + width / 2, top + height / 2];
            const hit = document.elementFromPoint(x, y);
            if (!node.contains(hit)) throw new Error(`covered by ${{hit?.outerHTML.slice(0, 200)}}`);
            return [x, y];
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Type text into the focused element."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press one key, given its name, its virtual key code, and the text that it enters."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def permit(self, name: str, setting: str) -> None:
        """Set a permission of the page: ``granted``, ``denied`` or ``prompt``."""
        self.call("Browser.setPermission", permission={"name": name}, setting=setting)

    def look(self, width: int = 1100, height: int = 760, *, dark: bool = False, phone: bool = False) -> None:
        """Set the size of the window and the person's colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
