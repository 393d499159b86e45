"""``/asr``: one client's socket, both ways."""

import asyncio
import contextlib
import json
import uuid
from collections import deque

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from gateway.auth import client_auth
from gateway.monitoring.log_observer import log
from gateway.session_manager import Switchboard, restarting
from gateway.sessions.client_session import Conversation
from gateway.sessions.commands import Hangup, SessionBounds
from gateway.sessions.deadlines import RETRY_AFTER_S
from gateway.sessions.send_queue import JsonObject
from shared.errors import MessageTooBigError, NoCapacityError, ReplacedError, SessionError, SessionLimitError
from shared.messages import SAMPLE_RATE
from shared.settings import GatewaySettings

PIECE_BYTES = SAMPLE_RATE * 2
"""Audio goes on to the worker in pieces of at most a second."""

READ_AT_LEAST_EVERY_S = 10.0
"""A held-back client's socket is read this often all the same, so that its close is seen."""

TOO_BIG_BYTES = "too_big_bytes"
"""Key of a ``websocket.disconnect`` event: the size of the message for which the server has closed with 1009."""

BY_CLOSE_FRAME = "by_close_frame"
"""Key of a ``websocket.disconnect`` event: True if a close frame came or was sent, False if the connection broke."""

CLEAN_CLOSES = frozenset({1000, 1001, 1005})
"""Close codes by which a client says that it has left; any other end is a broken network, or a page that is loaded anew
and says 4000, and has a grace."""


class Doorman:
    """Accepts sockets, checks who may come in, and runs them."""

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
            line_wait_s=settings.line_wait_s,
            resume_grace_s=settings.resume_grace_s,
            max_unread=settings.max_unread,
        )

    async def asr(self, websocket: WebSocket) -> None:
        """Serve one client."""
        arrived = self._switchboard.clock()
        self.sockets += 1
        try:
            offered = websocket.scope.get("subprotocols") or []
            await websocket.accept(subprotocol=client_auth.SUBPROTOCOL if client_auth.SUBPROTOCOL in offered else None)
            accept_ms = (self._switchboard.clock() - arrived) * 1000
            await self._serve(websocket, arrived, accept_ms)
        except WebSocketDisconnect:
            pass
        finally:
            self.sockets -= 1

    async def _serve(self, websocket: WebSocket, arrived: float, accept_ms: float) -> None:
        name = str(uuid.uuid4())
        self._switchboard.records.accepted(name, accept_ms)
        try:
            conversation, last_seq = self._admit(websocket, name, arrived)
        except SessionError as error:
            self._switchboard.records.refused(name, error)
            await _refuse(websocket, error)
            return
        socket = ClientSocket(websocket, conversation, self._switchboard, self._settings)
        if last_seq is None:
            conversation.accept_ms = accept_ms
            conversation.socket = socket
            conversation.greet(self._facts(), resumed=False)
            self._switchboard.join(conversation)
        else:
            socket.take_over(self._facts(), last_seq)
        await socket.run()

    def _admit(self, websocket: WebSocket, name: str, arrived: float) -> tuple[Conversation, int | None]:
        """Return the client's conversation, and for a resumed one the last ``seq`` that the client has seen."""
        headers, query = websocket.headers, websocket.query_params
        client_auth.check_origin(headers.get("origin"), headers.get("host"), self._settings.allowed_origins)
        token = client_auth.client_token(headers, query)
        client_auth.check_token(token, self._settings.api_tokens)
        if self._switchboard.stopping:
            raise restarting()
        slots = self._switchboard.pool.total_slots() or self._settings.gpu_workers * self._settings.slots_per_gpu
        limit = self._settings.socket_limit(slots)
        if self.sockets > limit:
            raise NoCapacityError("Too many connections are open", retry_after_s=RETRY_AFTER_S)
        parameters = client_auth.read_parameters(query)
        owner = token if self._settings.api_tokens else None
        known = self._switchboard.find(parameters.resume, owner) if parameters.resume else None
        if known is not None and known.parameters.mode == parameters.mode:
            return known, parameters.last_seq
        if self._switchboard.sessions >= limit:  # those whose client is away count too
            raise NoCapacityError("Too many sessions are open", retry_after_s=RETRY_AFTER_S)
        for worker in self._switchboard.pool.serving()[:1]:
            if worker.facts:
                client_auth.check_language(parameters, worker.facts.languages, worker.facts.model)
        return Conversation(name, parameters, owner=owner, arrived=arrived, bounds=self._bounds), None

    def _facts(self) -> JsonObject:
        facts = next((worker.facts for worker in self._switchboard.pool.serving() if worker.facts), None)
        return {
            "sample_rate": SAMPLE_RATE,
            "encoding": "pcm_s16le",
            "model": facts.model if facts else None,
            "device": facts.device if facts else None,
            "multilingual": len(facts.languages) > 1 if facts else None,
            "languages": list(facts.languages) if facts else None,
        }


class ClientSocket:
    """One socket of a conversation: reads while there is room, writes what the session says."""

    def __init__(
        self, websocket: WebSocket, conversation: Conversation, switchboard: Switchboard, settings: GatewaySettings
    ) -> None:
        self._websocket = websocket
        self._conversation = conversation
        self._switchboard = switchboard
        self._max_message_bytes = settings.max_message_bytes
        self._send_limit_s = settings.send_limit_s
        self._wake = asyncio.Event()
        self._timed = False  # whether the writer wakes by itself when what is queued may be sent
        self._room = asyncio.Event()
        self._hangup: Hangup | None = None
        self._hung_up = asyncio.Event()
        self._pending: deque[bytes] = deque()
        self._closed_by_client = False
        self._closing = False
        self._replaced = False

    # --- what the conversation calls ------------------------------------------------------------------------

    def wake(self) -> None:
        """Wake the writer if there is something new to send, and the reader if there is room.

        This is called for each message from the client, most of which leave nothing to send.
        """
        conversation = self._conversation
        if conversation.outbox.overflowing and not conversation.over:
            self._stop(SessionLimitError("The client does not read what it is sent"))
        wait_s = conversation.outbox.wait_s(self._switchboard.clock())
        if wait_s is not None and (wait_s == 0 or not self._timed):
            self._wake.set()
        if not self._room.is_set() and not conversation.session.full:
            self._room.set()

    def hang_up(self, hangup: Hangup) -> None:
        """Close the socket once what is queued has been sent."""
        self._hangup = self._hangup or hangup
        self._hung_up.set()
        self._wake.set()

    def take_over(self, facts: JsonObject, last_seq: int) -> None:
        """Go on with a conversation in place of its former socket."""
        conversation = self._conversation
        former, conversation.socket = conversation.socket, self
        if isinstance(former, ClientSocket):
            former.replace()
        conversation.replay(last_seq, facts)
        now = self._switchboard.clock()
        session = conversation.session
        self._switchboard.perform(conversation, session.farewell() if conversation.over else session.resumed(now))

    def replace(self) -> None:
        """A newer socket has taken over: say so and close, whatever else is queued."""
        self._replaced = True
        error = ReplacedError("The session goes on on a newer connection")
        self.hang_up(Hangup(error.close_code, error.message))

    # --- the socket -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the client until its socket is closed."""
        reading = asyncio.create_task(self._read())
        tasks = {reading, asyncio.create_task(self._write()), asyncio.create_task(self._cut_off())}
        done: set[asyncio.Task[None]] = set()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            if not self._replaced:
                # A client whose network breaks before the last message has reached it may come back for that.
                broken = reading in done or any(task.exception() for task in done)
                for_good = self._closed_by_client or (self._hangup is not None and not broken)
                self._switchboard.leave(self._conversation, for_good=for_good)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                log.error("a connection failed", event_id="connection_failed", exc_info=result)

    async def _read(self) -> None:
        while True:
            await self._make_room()
            message = await self._websocket.receive()
            if self._replaced:
                return
            if message["type"] == "websocket.disconnect":
                self._disconnected(message)
                return
            data, text = message.get("bytes"), message.get("text")
            if text is not None:
                self._control(text)
            elif data is not None:
                self._conversation.session.chunks += bool(data)
                self._pending.append(data)
                self._pour()

    def _disconnected(self, message: Message) -> None:
        size_bytes = message.get(TOO_BIG_BYTES)
        if size_bytes is not None:
            self._stop(MessageTooBigError(f"A message of {size_bytes} bytes; the most is {self._max_message_bytes}"))
        # The code alone does not tell: uvicorn says 1005 for a broken connection too.
        clean = message[BY_CLOSE_FRAME] and (self._closing or message["code"] in CLEAN_CLOSES)
        self._closed_by_client = clean or size_bytes is not None

    async def _make_room(self) -> None:
        """Wait until nothing is pending, but not so long that the socket's close would go unseen."""
        while self._pending:
            self._room.clear()
            self._pour()
            if not self._pending:
                return
            held_bytes = sum(map(len, self._pending))
            limit_s = None if held_bytes >= 2 * self._max_message_bytes else READ_AT_LEAST_EVERY_S
            try:
                await asyncio.wait_for(self._room.wait(), limit_s)
            except TimeoutError:
                return

    def _pour(self) -> None:
        """Hand pending messages to the session while it has room; an empty one ends the audio."""
        conversation, session, now = self._conversation, self._conversation.session, self._switchboard.clock()
        while self._pending:
            data = self._pending.popleft()
            if not data:
                conversation.flush_asked = now if conversation.flush_asked is None else conversation.flush_asked
                self._switchboard.perform(conversation, session.end_of_audio(now))
                continue
            room = len(data) if conversation.over else session.room_bytes
            for at in range(0, min(len(data), room), PIECE_BYTES):
                self._switchboard.perform(conversation, session.audio(data[at : min(at + PIECE_BYTES, room)], now))
            conversation.arrivals.note(session.received, now)
            if len(data) > room:
                self._pending.appendleft(data[room:])
                return

    def _control(self, text: str) -> None:
        session, now = self._conversation.session, self._switchboard.clock()
        session.alive(now)
        try:
            command = json.loads(text)
        except (ValueError, RecursionError):  # the latter from brackets within brackets
            command = None
        kind = command.get("type") if isinstance(command, dict) else None
        if self._conversation.parameters.mode != "events":
            self._complain("Text messages are only understood in mode=events; audio is sent as binary messages")
        elif kind == "finish":
            self._pending.append(b"")
            self._pour()
        elif kind == "finalize":
            self._switchboard.perform(self._conversation, session.finalize(now))
        elif kind != "keepalive":
            self._complain(f"Unknown control message {text[:80]!r}; known types are finish, finalize, keepalive")

    def _complain(self, sentence: str) -> None:
        self._conversation.view.complaint(sentence)
        self.wake()

    def _stop(self, error: SessionError) -> None:
        self._switchboard.perform(self._conversation, self._conversation.session.stop(error))

    async def _write(self) -> None:
        outbox = self._conversation.outbox
        while not self._replaced:
            self._wake.clear()
            now = self._switchboard.clock()
            text = outbox.pop(now)
            if text is not None:
                await self._websocket.send_text(text)
                continue
            wait_s = outbox.wait_s(now)
            if wait_s is not None:
                await self._woken_within(wait_s)
            elif self._hangup is None:
                await self._wake.wait()
            else:
                break
        hangup = self._hangup or Hangup(1011, "")
        if self._replaced:
            await self._websocket.send_text(_error_text(ReplacedError(hangup.reason)))
        elif hangup.linger_s:
            await asyncio.sleep(hangup.linger_s)  # the reader ends first if the client closes
        self._closing = True
        await self._websocket.close(hangup.code, _close_reason(hangup.reason))

    async def _woken_within(self, limit_s: float) -> None:
        self._timed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._wake.wait()
        self._timed = False

    async def _cut_off(self) -> None:
        """End a connection whose client does not take its last messages."""
        await self._hung_up.wait()
        await asyncio.sleep(self._send_limit_s)


def _close_reason(sentence: str) -> str:
    """Return as much of a sentence as a close frame has room for."""
    return sentence.encode()[:123].decode(errors="ignore")


def _error_text(error: SessionError) -> str:
    body: JsonObject = {"type": "error", "error": error.message, "code": error.code}
    if error.retry_after_s is not None:
        body["retry_after_s"] = error.retry_after_s
    return json.dumps(body, ensure_ascii=False)


async def _refuse(websocket: WebSocket, error: SessionError) -> None:
    await websocket.send_text(_error_text(error))
    if websocket.application_state is WebSocketState.CONNECTED:
        await websocket.close(error.close_code, _close_reason(error.message))
