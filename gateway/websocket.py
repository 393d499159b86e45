"""``/asr``: one client's socket, both ways."""

import asyncio
import json
import uuid
from collections import deque

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from gateway import admission
from gateway.actions import Hangup, SessionBounds
from gateway.admission import Parameters
from gateway.outbox import JsonObject, Outbox
from gateway.session import Session, State
from gateway.switchboard import RETRY_AFTER_S, Switchboard, restarting
from gateway.transcript import Transcript
from gateway.views import EventsView, FullView, View
from shared import logs
from shared.errors import MessageTooBigError, NoCapacityError, SessionError, SessionLimitError
from shared.messages import SAMPLE_RATE
from shared.settings import GatewaySettings

log = logs.get("gateway.websocket")

PIECE_BYTES = SAMPLE_RATE * 2
"""Audio goes on to the worker in pieces of at most a second."""

READ_AT_LEAST_EVERY_S = 10.0
"""A held-back client's socket is read this often all the same, so that its close is seen."""

SEND_LIMIT_S = 30.0
"""A client that takes nothing for so long after its session's end is cut off."""


class Doorman:
    """Accepts sockets, checks who may come in, and runs their conversations."""

    def __init__(self, settings: GatewaySettings, switchboard: Switchboard) -> None:
        self._settings = settings
        self._switchboard = switchboard
        self.sockets = 0
        self._bounds = SessionBounds(
            journal_s=settings.journal_s,
            max_session_s=settings.max_session_s,
            idle_timeout_s=settings.idle_timeout_s,
            stall_limit_s=settings.stall_limit_s,
            start_wait_s=settings.start_wait_s,
            open_wait_s=settings.open_wait_s,
            finish_wait_s=settings.finish_wait_s,
        )

    async def asr(self, websocket: WebSocket) -> None:
        """Serve one client."""
        arrived = self._switchboard.clock()
        self.sockets += 1
        try:
            offered = websocket.scope.get("subprotocols") or []
            await websocket.accept(subprotocol=admission.SUBPROTOCOL if admission.SUBPROTOCOL in offered else None)
            accept_ms = (self._switchboard.clock() - arrived) * 1000
            await self._serve(websocket, arrived, accept_ms)
        except WebSocketDisconnect:
            pass
        finally:
            self.sockets -= 1

    async def _serve(self, websocket: WebSocket, arrived: float, accept_ms: float) -> None:
        name = str(uuid.uuid4())
        log.info(
            f"Connection {name}: WebSocket accepted ({accept_ms:.0f}ms)",
            event_id="websocket_accepted",
            connection=name,
            accept_ms=round(accept_ms, 2),
        )
        try:
            parameters = self._admit(websocket)
        except SessionError as error:
            log.warning("connection refused", event_id="connection_refused", connection=name, code=error.code)
            self._switchboard.statistics.outcomes[error.code] += 1
            await _refuse(websocket, error)
            return
        conversation = Conversation(
            websocket,
            name,
            parameters,
            bounds=self._bounds,
            switchboard=self._switchboard,
            max_message_bytes=self._settings.max_message_bytes,
        )
        conversation.arrived, conversation.accept_ms = arrived, accept_ms
        await conversation.run()

    def _admit(self, websocket: WebSocket) -> Parameters:
        headers, query = websocket.headers, websocket.query_params
        admission.check_origin(headers.get("origin"), headers.get("host"), self._settings.allowed_origins)
        admission.check_token(admission.client_token(headers, query), self._settings.api_tokens)
        if self._switchboard.stopping:
            raise restarting()
        slots = self._switchboard.pool.total_slots() or self._settings.gpu_workers * self._settings.slots_per_gpu
        if self.sockets > self._settings.socket_limit(slots):
            raise NoCapacityError("Too many connections are open", retry_after_s=RETRY_AFTER_S)
        parameters = admission.read_parameters(query)
        for worker in self._switchboard.pool.serving()[:1]:
            if worker.facts:
                admission.check_language(parameters, worker.facts.languages, worker.facts.model)
        return parameters


class Conversation:
    """A session's socket: reads while there is room, writes what the session says."""

    def __init__(
        self,
        websocket: WebSocket,
        name: str,
        parameters: Parameters,
        *,
        bounds: SessionBounds,
        switchboard: Switchboard,
        max_message_bytes: int,
    ) -> None:
        self.parameters = parameters
        self.arrived = self.accept_ms = 0.0
        self.allocated: float | None = None
        self._websocket = websocket
        self._switchboard = switchboard
        self._max_message_bytes = max_message_bytes
        self._outbox = Outbox(numbered=parameters.mode == "events")
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._hangup: Hangup | None = None
        self._hung_up = asyncio.Event()
        self._pending: deque[bytes] = deque()
        transcript = Transcript()
        view_of = EventsView if parameters.mode == "events" else FullView
        self._view: View = view_of(transcript, self._outbox)
        self.session = Session(
            name,
            view=self._view,
            transcript=transcript,
            language=parameters.language,
            task=parameters.task,
            now=switchboard.clock(),
            bounds=bounds,
        )

    # --- what the switchboard calls -------------------------------------------------------------------------

    def notify(self) -> None:
        """There is something to send, or room to receive."""
        if self._outbox.overflowing and self.session.state is not State.ENDED:
            error = SessionLimitError("The client does not read what it is sent")
            self._switchboard.perform(self, self.session.stop(error))
        self._wake.set()
        if not self.session.full:
            self._room.set()

    def hang_up(self, hangup: Hangup) -> None:
        """Close the socket once what is queued has been sent."""
        self._hangup = self._hangup or hangup
        self._hung_up.set()
        self._wake.set()

    # --- the socket -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the client until its socket is closed."""
        self._view.config(self._facts())
        self._switchboard.join(self)
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        watcher = asyncio.create_task(self._cut_off())
        tasks = {reader, writer, watcher}
        try:
            await asyncio.wait({reader, writer, watcher}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            self._switchboard.leave(self)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                log.error(
                    "connection failed", event_id="connection_failed", exc_info=result, connection=self.session.id
                )

    def _facts(self) -> JsonObject:
        facts = next((worker.facts for worker in self._switchboard.pool.serving() if worker.facts), None)
        return {
            "session": self.session.id,
            "sample_rate": SAMPLE_RATE,
            "encoding": "pcm_s16le",
            "model": facts.model if facts else None,
            "device": facts.device if facts else None,
            "multilingual": len(facts.languages) > 1 if facts else None,
            "languages": list(facts.languages) if facts else None,
            "resumed": False,
            "received": 0,
        }

    async def _read(self) -> None:
        while True:
            if self._pending:
                self._room.clear()
                self._pour()
                held = sum(map(len, self._pending)) >= 2 * self._max_message_bytes
                if self._pending and not await self._room_within(None if held else READ_AT_LEAST_EVERY_S):
                    pass  # still no room: read one message all the same
                elif self._pending:
                    continue
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            data, text = message.get("bytes"), message.get("text")
            size_bytes = len(text.encode() if text is not None else data or b"")
            if size_bytes > self._max_message_bytes:
                self._stop(
                    MessageTooBigError(f"A message of {size_bytes} bytes; the most is {self._max_message_bytes}")
                )
            elif text is not None:
                self._control(text)
            elif data is not None:
                self._pending.append(data)
                self._pour()

    async def _room_within(self, limit_s: float | None) -> bool:
        try:
            await asyncio.wait_for(self._room.wait(), limit_s)
        except TimeoutError:
            return False
        return True

    def _pour(self) -> None:
        """Hand pending messages to the session while it has room; an empty one ends the audio."""
        session, now = self.session, self._switchboard.clock()
        while self._pending:
            data = self._pending.popleft()
            if not data:
                self._switchboard.perform(self, session.end_of_audio(now))
                continue
            room = session.room_bytes if session.state is not State.ENDED else len(data)
            for at in range(0, min(len(data), room), PIECE_BYTES):
                piece = data[at : min(at + PIECE_BYTES, room)]
                self._switchboard.perform(self, session.audio(piece, now))
            if len(data) > room:
                self._pending.appendleft(data[room:])
                return

    def _control(self, text: str) -> None:
        session, now = self.session, self._switchboard.clock()
        session.alive(now)
        try:
            command = json.loads(text)
            kind = command.get("type") if isinstance(command, dict) else None
        except (ValueError, RecursionError):  # the latter from brackets within brackets
            kind = None
        if self.parameters.mode != "events":
            self._complain("Text messages are only understood in mode=events; audio is sent as binary messages")
        elif kind == "finish":
            self._pending.append(b"")
            self._pour()
        elif kind == "finalize":
            self._switchboard.perform(self, session.finalize(now))
        elif kind != "keepalive":
            self._complain(f"Unknown control message {text[:80]!r}; known types are finish, finalize, keepalive")

    def _complain(self, sentence: str) -> None:
        self._view.error(sentence, "bad_message", None)
        self._wake.set()

    def _stop(self, error: SessionError) -> None:
        self._switchboard.perform(self, self.session.stop(error))

    async def _write(self) -> None:
        while True:
            self._wake.clear()
            now = self._switchboard.clock()
            text = self._outbox.pop(now)
            if text is not None:
                await self._websocket.send_text(text)
                continue
            wait_s = self._outbox.wait_s(now)
            if wait_s is None and self._hangup is not None:
                break
            try:
                await asyncio.wait_for(self._wake.wait(), wait_s)
            except TimeoutError:
                continue
        if self._hangup.linger_s:
            await asyncio.sleep(self._hangup.linger_s)  # the reader ends first if the client closes
        await self._websocket.close(self._hangup.code, self._hangup.reason[:100])

    async def _cut_off(self) -> None:
        """End a conversation whose client does not take its last messages."""
        await self._hung_up.wait()
        await asyncio.sleep(SEND_LIMIT_S)


async def _refuse(websocket: WebSocket, error: SessionError) -> None:
    body: JsonObject = {"type": "error", "error": error.message, "code": error.code}
    if error.retry_after_s is not None:
        body["retry_after_s"] = error.retry_after_s
    await websocket.send_text(json.dumps(body, ensure_ascii=False))
    if websocket.application_state is WebSocketState.CONNECTED:
        await websocket.close(error.close_code, error.message[:100])
