"""Who sees how the server does: asks every monitoring request for the token, or for its address where there is none.

Shell around `admission.sight`.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from gateway.auth.client_auth import Sight, bearer, is_loopback, monitor_pass, sight
from shared.settings import GatewaySettings

COOKIE = "monitor"
KEPT_S = 30 * 86400
"""A browser that has shown the token once need not show it again for so long."""

_FROM_ELSEWHERE = (
    "From other machines only with a MONITOR_TOKEN: set one for the gateway, then open this page once with ?token=...\n"
)

Endpoint = Callable[[Request], Awaitable[Response]]


class Guard:
    """Stands before the monitoring endpoints.

    With `MONITOR_TOKEN` a request needs it, wherever it comes from. Without, all of it is shown to whoever can reach a
    gateway that listens on loopback, and on another address to this machine alone: others get the figures without
    sessions' names, and no pages.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._token = settings.monitor_token
        self._on_loopback = is_loopback(settings.host)

    def sight(self, request: Request) -> Sight:
        """Return what this request may be shown."""
        offered = (bearer(request.headers), request.cookies.get(COOKIE))
        return sight(self._token, offered, private=self._on_loopback or _is_from_here(request))

    def figures(self, answer: Callable[[Request, bool], Awaitable[Response]]) -> Endpoint:
        """Return an endpoint for figures; ``answer`` is told whether sessions' names may be among them."""

        async def endpoint(request: Request) -> Response:
            found = self.sight(request)
            if found is Sight.NOTHING:
                return _unauthorized()
            return await answer(request, found is Sight.ALL)

        return endpoint

    def page(self, answer: Endpoint) -> Endpoint:
        """Return an endpoint that is shown whole or not at all: a page, its stream, its data.

        A browser may bring the token in ``?token=`` once: it is kept in a cookie, and the address is cleaned.
        """

        async def endpoint(request: Request) -> Response:
            brought = request.query_params.get("token")
            if self._token and brought is not None:
                return self._admit(request, brought)
            match self.sight(request):
                case Sight.ALL:
                    return await answer(request)
                case Sight.NOTHING:
                    return _unauthorized("; in a browser, open this address with ?token=... once")
                case Sight.FIGURES:
                    return PlainTextResponse(_FROM_ELSEWHERE, 403)

        return endpoint

    def _admit(self, request: Request, brought: str) -> Response:
        if sight(self._token, (brought,), private=False) is not Sight.ALL:
            return _unauthorized()
        url = request.url.remove_query_params("token")
        response = RedirectResponse(f"{url.path}?{url.query}" if url.query else url.path, 303)
        response.set_cookie(
            COOKIE,
            monitor_pass(self._token),
            max_age=KEPT_S,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response


def _is_from_here(request: Request) -> bool:
    """Tell whether a request comes from this machine itself, and not through its reverse proxy."""
    proxied = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    return request.client is not None and is_loopback(request.client.host) and not proxied


def _unauthorized(hint: str = "") -> Response:
    headers = {"www-authenticate": "Bearer"}
    return PlainTextResponse(f"Send MONITOR_TOKEN as Authorization: Bearer ...{hint}\n", 401, headers)
