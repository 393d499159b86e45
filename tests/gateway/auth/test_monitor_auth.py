"""Who may see the monitor and the figures: by token, by address, and by a browser's cookie."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gateway.app import create_app, create_gateway
from gateway.auth.client_auth import MonitorAccess, access_for, is_loopback, monitor_cookie
from gateway.auth.monitor_auth import COOKIE, MonitorAuth
from shared.settings import GatewaySettings
from tests.gateway.builders import register
from tests.gateway.http_client import HttpClient

TOKEN = "correct-horse"
FIGURES = ("/gpu-status", "/performance", "/metrics/prometheus")
UNAUTHENTICATED = ("/health", "/livez", "/readyz")
HERE, ELSEWHERE = "127.0.0.1", "192.0.2.7"


def monitor_page(address=HERE, **changes) -> HttpClient:
    """Return a client of a page that `MonitorAuth` guards, as ``/monitor`` is."""

    async def page(_request):
        return PlainTextResponse("the page")

    auth = MonitorAuth(GatewaySettings.defaults(**changes))
    return HttpClient(Starlette(routes=[Route("/monitor", auth.page(page))]), address)


def with_cookie(value) -> dict:
    return {"headers": {"cookie": f"{COOKIE}={value}"}}


def with_bearer(token) -> dict:
    return {"headers": {"authorization": f"Bearer {token}"}}


@pytest.fixture
def gateway_client(tmp_path):
    """Give a function that returns a client of a gateway with these settings, which has one session."""
    links = []

    def connect(address=HERE, **changes) -> HttpClient:
        settings = GatewaySettings.defaults(run_dir=tmp_path, **changes)
        gateway = create_gateway(settings)
        links.append(gateway.link)
        gateway.manager.workers.register(b"gpu0.a", register(0), 0.0)
        gateway.manager.workers.acquire("session-one", 0.0)
        return HttpClient(create_app(settings, gateway), address)

    yield connect
    for link in links:
        link.close()


@pytest.mark.parametrize("path", FIGURES)
@pytest.mark.parametrize("address", [HERE, ELSEWHERE])
def test_the_token_is_required_from_every_address(gateway_client, path, address):
    """With MONITOR_TOKEN set, no figure is shown without it, not even on this machine."""
    client = gateway_client(address, monitor_token=TOKEN, host="0.0.0.0")
    refused = client.get(path)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert TOKEN not in refused.text
    for wrong in ("", "x", TOKEN + "x", TOKEN[:-1], "ü"):
        assert client.get(path, headers={"authorization": f"Bearer {wrong}".encode()}).status_code == 401
    assert client.get(path, headers={"authorization": f"Basic {TOKEN}"}).status_code == 401
    assert client.get(f"{path}?token={TOKEN}").status_code == 401
    assert client.get(path, **with_bearer(TOKEN)).status_code == 200


def test_the_token_shows_session_names(gateway_client):
    """A client that sends it sees which session is on which GPU."""
    visible = gateway_client(ELSEWHERE, monitor_token=TOKEN).get("/gpu-status", **with_bearer(TOKEN)).json()
    assert visible["gpus"][0]["connection_ids"] == ["session-one"]


@pytest.mark.parametrize("changes", [{}, {"monitor_token": TOKEN}, {"host": "0.0.0.0"}])
@pytest.mark.parametrize("path", UNAUTHENTICATED)
def test_health_and_readiness_need_no_token(gateway_client, path, changes):
    """Balancers and supervisors have none; no session is named there."""
    answer = gateway_client(ELSEWHERE, **changes).get(path)
    assert answer.status_code == 200
    assert "session-one" not in answer.text


def test_a_gateway_on_loopback_shows_everything(gateway_client):
    """The guide's curl works as it stands, with names, also through a reverse proxy on the machine."""
    for address in (HERE, ELSEWHERE):
        assert "session-one" in gateway_client(address).get("/gpu-status").text
        assert monitor_page(address).get("/monitor").text == "the page"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example"])
def test_other_addresses_see_figures_without_names(gateway_client, host):
    """Without a token, other machines see counts only and no monitor page; this machine sees all."""
    remote, local = gateway_client(ELSEWHERE, host=host), gateway_client(HERE, host=host)
    hidden, visible = remote.get("/gpu-status").json(), local.get("/gpu-status").json()
    assert "session-one" in str(visible)
    assert "session-one" not in str(hidden)
    assert hidden["gpus"][0]["connection_ids"] is hidden["waiting_connection_ids"] is None
    assert (hidden["gpus"][0]["active_connections"], set(hidden)) == (1, set(visible))
    assert [remote.get(path).status_code for path in FIGURES] == [200, 200, 200]
    assert monitor_page(ELSEWHERE, host=host).get("/monitor").status_code == 403
    assert monitor_page(HERE, host=host).get("/monitor").status_code == 200


def test_a_proxied_request_is_not_from_this_machine():
    """A proxy's requests come from the loopback address, on behalf of other machines."""
    headers = {"x-forwarded-for": ELSEWHERE}
    assert monitor_page(HERE, host="0.0.0.0").get("/monitor", headers=headers).status_code == 403
    assert monitor_page(HERE).get("/monitor", headers=headers).status_code == 200


def test_the_token_in_the_query_becomes_a_cookie():
    """``?token=`` redirects to the address without it, with a cookie that scripts and other sites cannot use."""
    client = monitor_page(ELSEWHERE, monitor_token=TOKEN)
    assert client.get("/monitor").status_code == 401
    assert client.get("/monitor?token=wrong").status_code == 401
    answer = client.get(f"/monitor?wide=1&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/monitor?wide=1")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    assert TOKEN not in cookie
    assert client.get("/monitor", **with_cookie(answer.cookies[COOKIE])).text == "the page"
    assert client.get("/monitor", **with_cookie("x")).status_code == 401
    assert client.get("/monitor", **with_bearer(TOKEN)).status_code == 200


def test_a_cookie_given_over_https_is_secure():
    """It is never sent over http."""
    answer = monitor_page(ELSEWHERE, monitor_token=TOKEN).get(f"/monitor?token={TOKEN}", scheme="https")
    assert "secure" in answer.headers["set-cookie"].lower()


def test_a_cookie_is_void_when_the_token_changes():
    """A cookie of a former token is refused."""
    client = monitor_page(monitor_token=TOKEN)
    assert client.get("/monitor", **with_cookie(monitor_cookie("former"))).status_code == 401
    assert client.get("/monitor", **with_cookie(monitor_cookie(TOKEN))).status_code == 200


@pytest.mark.parametrize(
    ("offered", "private", "found"),
    [((), True, MonitorAccess.ALL), ((), False, MonitorAccess.FIGURES), (("anything",), False, MonitorAccess.FIGURES), ((None,), True, MonitorAccess.ALL)],
)  # fmt: skip
def test_without_a_token_the_address_decides(offered, private, found):
    """Where none is set, whatever is offered as one has no effect."""
    assert access_for("", offered, private=private) is found


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("::ffff:192.0.2.1", False), ("example.org", False),
        ("", False),
    ],
)  # fmt: skip
def test_loopback_addresses(address, ours):
    """Every way to write one is known, and nothing else; no name is looked up."""
    assert is_loopback(address) is ours
