"""A server for the page's tests: it speaks `mode=events` by a script and keeps all audio that it receives."""

import asyncio
import base64
import dataclasses
import json
import threading
from pathlib import Path
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

WEB = Path(__file__).parents[3] / "gateway" / "web"
CONTENT_SECURITY_POLICY = "default-src 'self'; connect-src 'self'"
SAMPLE_RATE = 16_000
SENTENCE = "the quick brown fox jumps over the lazy dog and runs into the dark green wood."
WORDS = SENTENCE.split()
STATUSES = (
    ("connected", "Connected"),
    ("allocating", "Allocating GPU..."),
    ("loading", "Loading models on GPU 2..."),
    ("ready", "Ready to transcribe"),
)
WORDS_PER_SEGMENT = len(WORDS)


@dataclasses.dataclass
class Script:
    """What the server does with the sessions that come."""

    word_s: float = 0.25  # audio for each word
    token: str | None = None  # the only one that is let in; None lets in everybody
    refuse: tuple[dict[str, object], int] | None = None  # an error after the first statuses, and the close code
    close_after_words: tuple[int, int] | None = None  # how many, and the close code, which no error precedes
    forgets: bool = False  # no session is known any more, as after a restart
    multilingual: bool = False  # what the model is said to be
    ready_delay_s: float = 0.05  # how long the weights take to load


@dataclasses.dataclass
class Seen:
    """One session as the server saw it; path, query and subprotocols are those of its first socket."""

    path: str
    query: dict[str, str]
    subprotocols: list[str]
    token: str
    audio: bytearray = dataclasses.field(default_factory=bytearray)
    message_bytes: list[int] = dataclasses.field(default_factory=list)
    resumed_after: list[int] = dataclasses.field(default_factory=list)
    ended: bool = False
    close_code: int | None = None

    @property
    def samples(self) -> int:
        """Samples received so far."""
        return len(self.audio) // 2


class _Security:
    """Adds the policy that the gateway will send, so that the page is tested under it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"content-security-policy", CONTENT_SECURITY_POLICY.encode()))
            await send(message)

        await self.app(scope, receive, send_with_policy)


class ScriptedServer:
    """Serves the page at `/` and, as behind a proxy, at `/captions/`; a context manager."""

    def __init__(self) -> None:
        self.script = Script()
        self.sessions: list[Seen] = []
        self._conversations: dict[str, _Conversation] = {}
        site = [WebSocketRoute("/asr", self._asr), Mount("/", StaticFiles(directory=WEB, html=True))]
        app = Starlette(routes=[Mount("/captions", routes=site), *site], middleware=[Middleware(_Security)])
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, log_config=None, log_level="warning", ws="websockets-sansio"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("The scripted server did not start.")
            threading.Event().wait(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    @property
    def port(self) -> int:
        """The TCP port that the system chose."""
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://localhost:{self.port}/"

    async def _asr(self, websocket: WebSocket) -> None:
        protocols = websocket.scope["subprotocols"]
        query = dict(websocket.query_params)
        conversation = None if self.script.forgets else self._conversations.get(query.get("resume", ""))
        last_seq = None if conversation is None else int(query["last_seq"])
        if conversation is None:
            seen = Seen(websocket.url.path, query, protocols, token=f"r{len(self._conversations)}")
            self.sessions.append(seen)
            conversation = self._conversations[seen.token] = _Conversation(self.script, seen)
        await websocket.accept(subprotocol="whisperlive" if protocols else None)
        try:
            await conversation.run(websocket, last_seq)
        except WebSocketDisconnect as gone:
            conversation.seen.close_code = gone.code


class _Conversation:
    """One session by the script, over as many sockets as it gets."""

    websocket: WebSocket

    def __init__(self, script: Script, seen: Seen) -> None:
        self.finals: list[tuple[int, dict[str, object]]] = []
        self.script = script
        self.seen = seen
        self.seq = 0
        self.said: list[str] = []
        self.segment = 0

    async def run(self, websocket: WebSocket, last_seq: int | None) -> None:
        self.websocket = websocket
        if self.script.token is not None and self._token() != self.script.token:
            await self._refuse({"error": "A token is needed.", "code": "bad_token"}, 4401)
            return
        if last_seq is not None:
            await self._resume(last_seq)
        elif not await self._begin():
            return
        await self._listen(websocket)
        await self._finish()
        await websocket.receive()
        self.seen.close_code = 1000

    async def _begin(self) -> bool:
        """Greet a new client; return True if it is accepted."""
        await self._send("config", resumed=False, received=0, **self._config())
        for code, message in STATUSES[:2]:
            await self._send("status", code=code, message=message)
        if self.script.refuse is not None:
            await self._refuse(*self.script.refuse)
            return False
        for code, message in STATUSES[2:]:
            await asyncio.sleep(self.script.ready_delay_s)
            await self._send("status", code=code, message=message, gpu_id=2)
        return True

    async def _resume(self, last_seq: int) -> None:
        """Greet a client that comes back, and tell it what it has missed."""
        self.seen.resumed_after.append(last_seq)
        await self._send("config", resumed=True, received=self.seen.samples, **self._config())
        for _, final in [told for told in self.finals if told[0] > last_seq]:
            await self._send("final", **final)
        for code, message in (STATUSES[0], STATUSES[-1]):
            await self._send("status", code=code, message=message, gpu_id=2)

    def _token(self) -> str | None:
        for protocol in self.seen.subprotocols:
            if protocol.startswith("token."):
                encoded = protocol.removeprefix("token.")
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
        return None

    def _config(self) -> dict[str, object]:
        many = self.script.multilingual
        model, languages = ("base", ["de", "en", "fr", "ja"]) if many else ("tiny.en", ["en"])
        config = {"session": "s1", "resume_token": self.seen.token, "device": "cpu", "sample_rate": SAMPLE_RATE}
        return config | {"model": model, "multilingual": many, "languages": languages}

    async def _listen(self, websocket: WebSocket) -> None:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"])
            pcm = message["bytes"]
            if not pcm:
                self.seen.ended = True
                return
            self.seen.audio += pcm
            self.seen.message_bytes.append(len(pcm))
            await self._recognise()

    async def _recognise(self) -> None:
        due = int(self.seen.samples / SAMPLE_RATE / self.script.word_s)
        while self.segment * WORDS_PER_SEGMENT + len(self.said) < due:
            if len(self.said) == WORDS_PER_SEGMENT:  # the socket broke in between
                await self._final()
                continue
            self.said.append(WORDS[len(self.said)])
            await self._partial()
            if len(self.said) == WORDS_PER_SEGMENT:
                await self._final()
            total = self.segment * WORDS_PER_SEGMENT + len(self.said)
            await self._send("ack", received=self.seen.samples, committed_until=self.seen.samples // 2)
            if self.script.close_after_words is not None and total == self.script.close_after_words[0]:
                await self.websocket.close(self.script.close_after_words[1])
                raise WebSocketDisconnect(self.script.close_after_words[1])

    async def _partial(self) -> None:
        committed, tail = self.said[:-2], self.said[-2:]
        start = self.segment * WORDS_PER_SEGMENT * self.script.word_s
        await self._send(
            "partial",
            segment=self.segment + 1,
            committed=" ".join(committed),
            tail="".join(f" {word}" for word in tail).removeprefix("" if committed else " "),
            start=start,
            end=start + len(self.said) * self.script.word_s,
        )

    async def _final(self) -> None:
        first = self.segment * WORDS_PER_SEGMENT
        times = [(first + number) * self.script.word_s for number in range(len(self.said) + 1)]
        words = [
            {"word": f" {word}", "start": start, "end": end, "probability": 0.9}
            for word, start, end in zip(self.said, times, times[1:], strict=False)
        ]
        final = {"segment": self.segment + 1, "text": " ".join(self.said), "start": times[0], "end": times[-1]}
        final |= {"words": words, "language": "en"}
        self.segment += 1
        self.said = []
        self.finals.append((self.seq + 1, final))
        await self._send("final", **final)

    async def _finish(self) -> None:
        if self.said:
            await self._final()
        received = self.seen.samples
        await self._send(
            "ready_to_stop",
            audio={"received": received, "transcribed": received, "silence": 0, "unclear": 0, "dropped": 0},
        )

    async def _refuse(self, error: dict[str, object], code: int) -> None:
        await self._send("error", **error)
        await self.websocket.close(code)

    async def _send(self, kind: str, **fields: object) -> None:
        self.seq += 1
        await self.websocket.send_text(json.dumps({"type": kind, "seq": self.seq, **fields}))
