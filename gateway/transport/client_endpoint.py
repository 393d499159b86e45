"""The paths that clients connect to: accept, authorise, open or resume a session, serve it (shell)."""

import uuid
from collections.abc import Mapping
from functools import partial

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from gateway.auth import client_auth
from gateway.placement.events import ConnectionAccepted, ConnectionRefused
from gateway.protocols.base import ClientProtocol, Handshake, HandshakeRequest, ProtocolFactory
from gateway.session_manager import SessionManager, restarting
from gateway.sessions.client_session import ClientSession
from gateway.sessions.commands import SessionLimits
from gateway.sessions.deadlines import RETRY_AFTER_S
from gateway.transport.client_connection import ClientConnection
from gateway.transport.client_writer import close_reason, send_frame
from shared.errors import NoCapacityError, SessionError
from shared.messages import Register
from shared.settings import GatewaySettings


class ClientEndpoints:
    """Serves WebSocket clients.

    Args:
        settings: tokens, origins, and all bounds.
        manager: keeps the sessions.
        protocols: by path.

    Attributes:
        sockets: how many are open.
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
        """Return one route for each protocol."""
        return [WebSocketRoute(path, partial(self.serve, factory)) for path, factory in self._protocols.items()]

    async def serve(self, factory: ProtocolFactory, websocket: WebSocket) -> None:
        """Serve one connection until it has ended."""
        requested_at = self._manager.clock()
        self.sockets += 1
        try:
            offered = websocket.scope.get("subprotocols") or []
            await websocket.accept(subprotocol=client_auth.SUBPROTOCOL if client_auth.SUBPROTOCOL in offered else None)
            accept_ms = (self._manager.clock() - requested_at) * 1000
            await self._serve(factory, websocket, requested_at, accept_ms)
        except WebSocketDisconnect:
            pass
        finally:
            self.sockets -= 1

    async def _serve(
        self, factory: ProtocolFactory, websocket: WebSocket, requested_at: float, accept_ms: float
    ) -> None:
        manager, session_id = self._manager, str(uuid.uuid4())
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
            connection.resume(handshake.last_seq, self._serving_worker())
        else:
            client.accept_ms = accept_ms
            client.connection = connection
            client.greet(self._serving_worker(), resumed=False)
            manager.add(client)
        await connection.run()

    def _authorize(self, websocket: WebSocket) -> str | None:
        """Return the client's token; None if the gateway asks for none.

        Raises:
            SessionError: the client may not connect, or not now.
        """
        settings, headers = self._settings, websocket.headers
        client_auth.check_origin(headers.get("origin"), headers.get("host"), settings.allowed_origins)
        token = client_auth.client_token(headers, websocket.query_params)
        client_auth.check_token(token, settings.api_tokens)
        if self._manager.stopping:
            raise restarting()
        if self.sockets > self._socket_limit():
            raise NoCapacityError("Too many connections are open", retry_after_s=RETRY_AFTER_S)
        return token if settings.api_tokens else None

    def _find(self, handshake: Handshake, token: str | None) -> ClientSession | None:
        """Return the session that is to be resumed, if it is still known and in the same protocol."""
        if handshake.resume_token is None:
            return None
        known = self._manager.find(handshake.resume_token, token)
        return known if known is not None and isinstance(known.presenter, handshake.protocol) else None

    def _create(self, session_id: str, handshake: Handshake, token: str | None, requested_at: float) -> ClientSession:
        if self._manager.session_count >= self._socket_limit():  # also those whose client is away
            raise NoCapacityError("Too many sessions are open", retry_after_s=RETRY_AFTER_S)
        server = self._serving_worker()
        if server is not None:
            handshake.options.check(server.languages, server.model, translates=server.translates)
        return ClientSession(
            session_id,
            handshake.options,
            handshake.protocol,
            api_token=token,
            requested_at=requested_at,
            limits=self._limits,
        )

    def _serving_worker(self) -> Register | None:
        """Return the registration of the first serving worker; None if there is none."""
        return next((worker.registration for worker in self._manager.workers.serving() if worker.registration), None)

    def _socket_limit(self) -> int:
        slots = self._manager.workers.total_slots() or self._settings.gpu_workers * self._settings.slots_per_gpu
        return self._settings.socket_limit(slots)

    async def _refuse(self, websocket: WebSocket, factory: ProtocolFactory, error: SessionError) -> None:
        await send_frame(websocket, factory.refusal(error))
        if websocket.application_state is WebSocketState.CONNECTED:
            await websocket.close(error.close_code, close_reason(error.message))
