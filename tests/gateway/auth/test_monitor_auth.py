"""Who sees how the server does: by token, by address, and by the cookie of a browser."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gateway.app import create_app, create_switchboard
from gateway.auth.client_auth import Sight, is_loopback, monitor_pass, sight
from gateway.auth.monitor_auth import COOKIE, Guard
from shared.settings import GatewaySettings
from tests.gateway.builders import register

TOKEN = "correct-horse"
FIGURES = ("/gpu-status", "/performance", "/metrics/prometheus")
OPEN = ("/health", "/livez", "/readyz")
HERE, ELSEWHERE = "127.0.0.1", "192.0.2.7"


class Visitor:
    """Asks an application without a network, from a chosen address."""

    def __init__(self, app, address) -> None:
        self._app = app
        self._address = address

    def get(self, path, scheme="http", **options) -> httpx.Response:
        """Return the answer to one request; redirects are not followed."""

        async def ask():
            transport = httpx.ASGITransport(self._app, client=(self._address, 50000))
            async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://a.example") as client:
                return await client.get(path, **options)

        return asyncio.run(ask())


@pytest.fixture
def visit(tmp_path):
    """Give a function that returns a visitor of a gateway with these settings, which has one session."""
    links = []

    def visiting(address=HERE, **changes) -> Visitor:
        settings = GatewaySettings.defaults(run_dir=tmp_path, **changes)
        link, switchboard = create_switchboard(settings)
        links.append(link)
        switchboard.pool.register(b"gpu0.a", register(0), 0.0)
        switchboard.pool.place("session-one", 0.0)
        return Visitor(create_app(settings, link, switchboard), address)

    yield visiting
    for link in links:
        link.close()


def page_of(address=HERE, **changes) -> Visitor:
    """Return a visitor of a page behind the guard, such as ``/monitor`` is."""

    async def page(_request):
        return PlainTextResponse("the page")

    guard = Guard(GatewaySettings.defaults(**changes))
    return Visitor(Starlette(routes=[Route("/monitor", guard.page(page))]), address)


def keeping(value) -> dict:
    """Return the headers of a browser that kept this cookie."""
    return {"headers": {"cookie": f"{COOKIE}={value}"}}


def bearing(token) -> dict:
    """Return the headers that bring a token."""
    return {"headers": {"authorization": f"Bearer {token}"}}


@pytest.mark.parametrize("path", FIGURES)
@pytest.mark.parametrize("address", [HERE, ELSEWHERE])
def test_a_token_is_asked_of_everybody(visit, path, address):
    """With MONITOR_TOKEN set nothing is told without it, on this machine neither; with it, all."""
    visitor = visit(address, monitor_token=TOKEN, host="0.0.0.0")
    refused = visitor.get(path)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert TOKEN not in refused.text
    for wrong in ("", "x", TOKEN + "x", TOKEN[:-1], "ü"):
        assert visitor.get(path, headers={"authorization": f"Bearer {wrong}".encode()}).status_code == 401
    assert visitor.get(path, headers={"authorization": f"Basic {TOKEN}"}).status_code == 401
    assert visitor.get(f"{path}?token={TOKEN}").status_code == 401
    assert visitor.get(path, **bearing(TOKEN)).status_code == 200


def test_names_are_for_those_with_the_token(visit):
    """Who brings it sees which sessions are where."""
    shown = visit(ELSEWHERE, monitor_token=TOKEN).get("/gpu-status", **bearing(TOKEN)).json()
    assert shown["gpus"][0]["connection_ids"] == ["session-one"]


@pytest.mark.parametrize("changes", [{}, {"monitor_token": TOKEN}, {"host": "0.0.0.0"}])
@pytest.mark.parametrize("path", OPEN)
def test_what_starts_and_balances_has_no_token(visit, path, changes):
    """Health and readiness are told to everybody, and name no session."""
    answer = visit(ELSEWHERE, **changes).get(path)
    assert answer.status_code == 200
    assert "session-one" not in answer.text


def test_on_loopback_everything_is_open(visit):
    """The guide's curl works as it stands, with names, also through a reverse proxy on the machine."""
    for address in (HERE, ELSEWHERE):
        assert "session-one" in visit(address).get("/gpu-status").text
        assert page_of(address).get("/monitor").text == "the page"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example"])
def test_others_see_figures_without_names(visit, host):
    """A gateway that listens for others and has no token shows them counts; this machine still sees all."""
    stranger, own = visit(ELSEWHERE, host=host), visit(HERE, host=host)
    hidden, shown = stranger.get("/gpu-status").json(), own.get("/gpu-status").json()
    assert "session-one" in str(shown)
    assert "session-one" not in str(hidden)
    assert hidden["gpus"][0]["connection_ids"] is hidden["waiting_connection_ids"] is None
    assert (hidden["gpus"][0]["active_connections"], set(hidden)) == (1, set(shown))
    assert [stranger.get(path).status_code for path in FIGURES] == [200, 200, 200]
    assert page_of(ELSEWHERE, host=host).get("/monitor").status_code == 403
    assert page_of(HERE, host=host).get("/monitor").status_code == 200


def test_who_comes_through_a_proxy_is_not_this_machine():
    """A proxy beside a gateway that listens for others brings strangers from the loopback address."""
    headers = {"x-forwarded-for": ELSEWHERE}
    assert page_of(HERE, host="0.0.0.0").get("/monitor", headers=headers).status_code == 403
    assert page_of(HERE).get("/monitor", headers=headers).status_code == 200


def test_a_browser_shows_the_token_once():
    """``?token=`` is answered with the clean address and a cookie that scripts and other sites cannot use."""
    visitor = page_of(ELSEWHERE, monitor_token=TOKEN)
    assert visitor.get("/monitor").status_code == 401
    assert visitor.get("/monitor?token=wrong").status_code == 401
    answer = visitor.get(f"/monitor?wide=1&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/monitor?wide=1")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    assert TOKEN not in cookie
    assert visitor.get("/monitor", **keeping(answer.cookies[COOKIE])).text == "the page"
    assert visitor.get("/monitor", **keeping("x")).status_code == 401
    assert visitor.get("/monitor", **bearing(TOKEN)).status_code == 200


def test_over_tls_the_cookie_stays_on_tls():
    """A cookie given over https never goes over http."""
    answer = page_of(ELSEWHERE, monitor_token=TOKEN).get(f"/monitor?token={TOKEN}", scheme="https")
    assert "secure" in answer.headers["set-cookie"].lower()


def test_a_cookie_ends_with_its_token():
    """When the token is changed, browsers have to show the new one."""
    visitor = page_of(monitor_token=TOKEN)
    assert visitor.get("/monitor", **keeping(monitor_pass("former"))).status_code == 401
    assert visitor.get("/monitor", **keeping(monitor_pass(TOKEN))).status_code == 200


@pytest.mark.parametrize(
    ("offered", "private", "found"),
    [((), True, Sight.ALL), ((), False, Sight.FIGURES), (("anything",), False, Sight.FIGURES), ((None,), True, Sight.ALL)],
)  # fmt: skip
def test_without_a_token_the_address_decides(offered, private, found):
    """Where none is set, none that is offered matters."""
    assert sight("", offered, private=private) is found


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("::ffff:192.0.2.1", False), ("example.org", False),
        ("", False),
    ],
)  # fmt: skip
def test_loopback_is_known_in_all_its_forms(address, ours):
    """Every way to write this machine's own address, and nothing else; no name is looked up."""
    assert is_loopback(address) is ours
