"""Checks every monitoring request for the token, or for its address if there is no token (shell).

The rule itself is `gateway.auth.client_auth.access_for`.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from gateway.auth.client_auth import MonitorAccess, access_for, bearer, is_loopback, monitor_cookie
from shared.settings import GatewaySettings

COOKIE = "monitor"
COOKIE_MAX_AGE_S = 30 * 86400
"""A browser that has brought the token once need not bring it again for this long."""

_FROM_ELSEWHERE = (
    "From other machines only with a MONITOR_TOKEN: set one for the gateway, then open this page once with ?token=...\n"
)

Endpoint = Callable[[Request], Awaitable[Response]]


class MonitorAuth:
    """Wraps the monitoring endpoints.

    With `MONITOR_TOKEN`, every request needs it. Without it, a gateway that listens on loopback shows everything to
    every request; on another address it shows everything to this machine, and to others the figures without sessions'
    ids, and no pages.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._token = settings.monitor_token
        self._on_loopback = is_loopback(settings.host)

    def access(self, request: Request) -> MonitorAccess:
        """Return how much of the monitoring a request may see."""
        offered = (bearer(request.headers), request.cookies.get(COOKIE))
        return access_for(self._token, offered, private=self._on_loopback or _is_local(request))

    def figures(self, answer: Callable[[Request, bool], Awaitable[Response]]) -> Endpoint:
        """Return an endpoint for figures; ``answer`` gets as its second argument whether to include sessions' ids."""

        async def endpoint(request: Request) -> Response:
            access = self.access(request)
            if access is MonitorAccess.DENIED:
                return _unauthorized()
            return await answer(request, access is MonitorAccess.ALL)

        return endpoint

    def page(self, answer: Endpoint) -> Endpoint:
        """Return an endpoint that only requests with full access may see: a page, its stream, its data.

        A browser may bring the token as ``?token=`` once: it is redirected to the address without it, with a cookie.
        """

        async def endpoint(request: Request) -> Response:
            offered = request.query_params.get("token")
            if self._token and offered is not None:
                return self._set_cookie(request, offered)
            match self.access(request):
                case MonitorAccess.ALL:
                    return await answer(request)
                case MonitorAccess.DENIED:
                    return _unauthorized("; in a browser, open this address with ?token=... once")
                case MonitorAccess.FIGURES:
                    return PlainTextResponse(_FROM_ELSEWHERE, 403)

        return endpoint

    def _set_cookie(self, request: Request, offered: str) -> Response:
        if access_for(self._token, (offered,), private=False) is not MonitorAccess.ALL:
            return _unauthorized()
        url = request.url.remove_query_params("token")
        response = RedirectResponse(f"{url.path}?{url.query}" if url.query else url.path, 303)
        response.set_cookie(
            COOKIE,
            monitor_cookie(self._token),
            max_age=COOKIE_MAX_AGE_S,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response


def _is_local(request: Request) -> bool:
    """Return True if a request comes from this machine, and not through a reverse proxy on it."""
    proxied = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    return request.client is not None and is_loopback(request.client.host) and not proxied


def _unauthorized(hint: str = "") -> Response:
    headers = {"www-authenticate": "Bearer"}
    return PlainTextResponse(f"Send MONITOR_TOKEN as Authorization: Bearer ...{hint}\n", 401, headers)
