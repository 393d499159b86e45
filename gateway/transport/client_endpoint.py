"""The paths that clients connect to: accept, see who it is, open a session or go on with one, and serve (shell)."""

import uuid
from collections.abc import Mapping

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from gateway.auth import client_auth
from gateway.placement.events import ConnectionAccepted, ConnectionRefused
from gateway.protocols.base import ClientProtocol, Handshake, HandshakeRequest, ProtocolFactory
from gateway.session_manager import SessionManager, restarting
from gateway.sessions.client_session import ClientSession
from gateway.sessions.commands import SessionLimits
from gateway.sessions.deadlines import RETRY_AFTER_S
from gateway.transport.client_connection import ClientConnection, close_reason, send_frame
from shared.errors import NoCapacityError, SessionError
from shared.messages import Register
from shared.settings import GatewaySettings


class ClientEndpoints:
    """Serves WebSocket clients, each path in its protocol.

    Args:
        settings: who may come in, and all bounds.
        manager: keeps the sessions.
        protocols: what is spoken where.
    """

    def __init__(
        self, settings: GatewaySettings, manager: SessionManager, protocols: Mapping[str, ProtocolFactory]
    ) -> None:
        self.sockets = 0
        self._settings = settings
        self._manager = manager
        self._protocols = protocols
        self._limits = SessionLimits(
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

    def routes(self) -> list[BaseRoute]:
        """Return a route for each protocol's path."""
        return [WebSocketRoute(path, self.serve) for path in self._protocols]

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one client until its connection has ended."""
        requested_at = self._manager.clock()
        self.sockets += 1
        try:
            offered = websocket.scope.get("subprotocols") or []
            await websocket.accept(subprotocol=client_auth.SUBPROTOCOL if client_auth.SUBPROTOCOL in offered else None)
            accept_ms = (self._manager.clock() - requested_at) * 1000
            await self._serve(websocket, requested_at, accept_ms)
        except WebSocketDisconnect:
            pass
        finally:
            self.sockets -= 1

    async def _serve(self, websocket: WebSocket, requested_at: float, accept_ms: float) -> None:
        manager, session_id = self._manager, str(uuid.uuid4())
        factory = self._protocols[websocket.url.path]
        manager.observers.observe(ConnectionAccepted(session_id, accept_ms))
        try:
            token = self._authorize(websocket)
            handshake = factory.open(HandshakeRequest(websocket.headers, websocket.query_params))
            client = self._find(handshake, token)
            resumed = client is not None
            if client is None:
                client = self._create(session_id, handshake, token, requested_at)
        except SessionError as error:
            manager.observers.observe(ConnectionRefused(session_id, error))
            await self._refuse(websocket, factory, error)
            return
        protocol = client.presenter
        if not isinstance(protocol, ClientProtocol):
            raise TypeError(f"{type(protocol).__name__} cannot read what a client says")
        connection = ClientConnection(websocket, client, protocol, factory, manager=manager, settings=self._settings)
        if resumed:
            connection.resume(handshake.last_seq, self._a_server())
        else:
            client.accept_ms = accept_ms
            client.connection = connection
            client.greet(self._a_server(), resumed=False)
            manager.add(client)
        await connection.run()

    def _authorize(self, websocket: WebSocket) -> str | None:
        """Return the client's token, None where none is asked for.

        Raises:
            SessionError: the client may not come in, or not now.
        """
        settings, headers = self._settings, websocket.headers
        client_auth.check_origin(headers.get("origin"), headers.get("host"), settings.allowed_origins)
        token = client_auth.client_token(headers, websocket.query_params)
        client_auth.check_token(token, settings.api_tokens)
        if self._manager.stopping:
            raise restarting()
        if self.sockets > self._most_sockets():
            raise NoCapacityError("Too many connections are open", retry_after_s=RETRY_AFTER_S)
        return token if settings.api_tokens else None

    def _find(self, handshake: Handshake, token: str | None) -> ClientSession | None:
        """Return the session that a client goes on with, in the protocol that it has been held in."""
        if handshake.resume_token is None:
            return None
        known = self._manager.find(handshake.resume_token, token)
        return known if known is not None and isinstance(known.presenter, handshake.protocol) else None

    def _create(self, session_id: str, handshake: Handshake, token: str | None, requested_at: float) -> ClientSession:
        if self._manager.session_count >= self._most_sockets():  # those whose client is away count too
            raise NoCapacityError("Too many sessions are open", retry_after_s=RETRY_AFTER_S)
        server = self._a_server()
        if server is not None:
            handshake.options.check(server.languages, server.model)
        return ClientSession(
            session_id,
            handshake.options,
            handshake.protocol,
            api_token=token,
            requested_at=requested_at,
            limits=self._limits,
        )

    def _a_server(self) -> Register | None:
        """Return what a worker that serves has said of itself; None if there is none."""
        return next((worker.registration for worker in self._manager.workers.serving() if worker.registration), None)

    def _most_sockets(self) -> int:
        slots = self._manager.workers.total_slots() or self._settings.gpu_workers * self._settings.slots_per_gpu
        return self._settings.socket_limit(slots)

    async def _refuse(self, websocket: WebSocket, factory: ProtocolFactory, error: SessionError) -> None:
        await send_frame(websocket, factory.refusal(error))
        if websocket.application_state is WebSocketState.CONNECTED:
            await websocket.close(error.close_code, close_reason(error.message))
