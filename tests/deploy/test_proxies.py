"""The shipped nginx and Caddy sites in front of a real gateway: sessions pass, secrets stay out of the logs."""

import contextlib
import dataclasses
import itertools
import json
import os
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.deploy.running import DEPLOY, needs, ran, running, substituted
from tests.scripted_recognizer import say
from tests.system.server import GATEWAY, free_port
from tests.system.talk import Talk

TOKEN = "a-clients-secret"
MONITOR_TOKEN = "an-operators-secret"
MONITORING = ("/gpu-status", "/performance", "/metrics/prometheus", "/monitor", "/monitor/state")
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]

pytestmark = pytest.mark.system


@dataclasses.dataclass(frozen=True)
class Proxy:
    """A running reverse proxy with TLS."""

    name: str
    port: int
    tls: ssl.SSLContext
    logs: Path

    @property
    def origin(self) -> str:
        """Return the address of the page."""
        return f"https://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Answer an HTTP GET."""
        return httpx.get(self.origin + path, headers=headers, verify=self.tls, trust_env=False, timeout=40)

    def browser(self) -> httpx.Client:
        """Return a client that keeps cookies and follows redirects, as a browser does."""
        return httpx.Client(base_url=self.origin, verify=self.tls, trust_env=False, timeout=40, follow_redirects=True)

    def written(self) -> str:
        """Return everything in its logs; a request's line comes after its answer."""
        time.sleep(0.3)
        return "".join(file.read_text() for file in self.logs.iterdir())


class SecureTalk(Talk):
    """A session through a proxy, as a page of that address has it."""

    def __init__(self, proxy: Proxy, *, origin: str | None = None, query: str = "", **options) -> None:
        super().__init__(proxy, ssl=proxy.tls, origin=origin or proxy.origin, query=query, **options)
        self._url = self._url.replace("ws://", "wss://")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """Give a certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    ran(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(cert), "-keyout", str(key),
    )  # fmt: skip
    return cert, key


@contextlib.contextmanager
def nginx(folder: Path, certificate, upstream: int, **changes: str):
    """Run nginx with the shipped site."""
    cert, key = certificate
    port, plain, logs = free_port(), free_port(), folder / "logs"
    logs.mkdir()
    site = substituted(
        (DEPLOY / "nginx" / "whisperlivekit.conf").read_text(),
        {
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{upstream};",
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen [::]:80;": "",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
            "listen [::]:443 ssl http2;": "",
            "server_name whisper.example.org;": "server_name 127.0.0.1;",
            "/etc/letsencrypt/live/whisper.example.org/fullchain.pem": str(cert),
            "/etc/letsencrypt/live/whisper.example.org/privkey.pem": str(key),
            "/var/log/nginx/": f"{logs}/",
        }
        | changes,
    )
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"user root;\ndaemon off;\npid {folder}/pid;\nerror_log {logs}/main.log;\n"
        f"events {{ worker_connections 256; }}\nhttp {{\n{temporary}{site}}}\n"
    )
    with running(["nginx", "-c", str(config), "-e", f"{logs}/main.log"], port, logs / "printed"):
        yield Proxy("nginx", port, ssl.create_default_context(cafile=cert), logs), plain


@contextlib.contextmanager
def caddy(folder: Path, certificate, upstream: int, **changes: str):
    """Run Caddy with the shipped site and a certificate of ours in place of one from an authority."""
    cert, key = certificate
    port, logs = free_port(), folder / "logs"
    logs.mkdir()
    site = substituted(
        (DEPLOY / "caddy" / "Caddyfile").read_text(),
        {
            "whisper.example.org {": f"https://127.0.0.1:{port} {{\n\ttls {cert} {key}",
            "reverse_proxy 127.0.0.1:8000": f"reverse_proxy 127.0.0.1:{upstream}",
            "/var/log/caddy/": f"{logs}/",
            "{\n\t# Its lines": f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system {folder}/storage\n\t# Its lines",
        }
        | changes,
    )
    config = folder / "Caddyfile"
    config.write_text(site)
    env = os.environ | {"XDG_CONFIG_HOME": str(folder)}  # it keeps a copy of its configuration there
    with running(["caddy", "run", "--adapter", "caddyfile", "--config", str(config)], port, logs / "printed", env=env):
        yield Proxy("caddy", port, ssl.create_default_context(cafile=cert), logs), None


KINDS = [pytest.param(nginx, marks=needs("nginx")), pytest.param(caddy, marks=needs("caddy"))]


@pytest.fixture(scope="module")
def server(start_server):
    """Give a gateway with a scripted worker that asks for a token."""
    return start_server(workers=1, API_TOKENS=TOKEN)


@pytest.fixture(params=KINDS)
def start(request, tmp_path, certificate) -> Callable:
    """Give a function that starts one kind of proxy before a port."""
    return lambda upstream, **changes: request.param(tmp_path, certificate, upstream, **changes)


async def test_a_session_passes_through(server, start):
    """Words come while audio goes, the books balance, the page's own origin is let in and no other, over TLS."""
    speech = say(WORDS)
    pcm = speech.pcm.tobytes()
    with start(server.port) as (proxy, _):
        async with SecureTalk(proxy, query=f"&token={TOKEN}") as talk:
            await talk.ready()
            await talk.send(pcm[: len(pcm) // 2], real_time=True)
            await talk.words(2)
            await talk.send(pcm[len(pcm) // 2 :])
            await talk.finish()
            books = await talk.done()
            assert (books["received"], books["dropped"]) == (len(speech.pcm), 0)
            assert talk.text.split() == WORDS
            secrets = [TOKEN, talk.messages[0]["resume_token"]]
        async with SecureTalk(proxy, query=f"&token={TOKEN}", origin="https://elsewhere.example") as foreign:
            assert await foreign.ended() == 4403
        async with SecureTalk(proxy) as without_token:
            assert await without_token.ended() == 4401
        written = proxy.written()
        assert "/asr" in written
        assert not [secret for secret in secrets if secret in written]


async def test_a_message_above_the_bound_is_refused_in_words(server, start):
    """The close frame with both sizes passes through a proxy that is still sending the message on."""
    with start(server.port) as (proxy, _):
        for size in (2**20 + 2, 8 * 2**20):
            async with SecureTalk(proxy, query=f"&token={TOKEN}") as talk:
                await talk.ready()
                with contextlib.suppress(ConnectionClosed):  # it may be refused while it is still being sent
                    await talk.socket.send(bytes(size))
                assert await talk.ended() == 1009
                assert str(size) in talk.socket.close_reason


async def test_a_token_among_the_subprotocols_stays_out_of_the_logs(server, start):
    """A browser sends its token as a subprotocol; it opens the session and is written nowhere."""
    coded = "token.YS1jbGllbnRzLXNlY3JldA"
    with start(server.port) as (proxy, _):
        async with SecureTalk(proxy, subprotocols=["whisperlive", coded]) as talk:
            await talk.ready()
            await talk.finish()
            await talk.done()
        written = proxy.written()
        assert "/asr" in written
        assert coded not in written


def test_pages_and_monitoring_pass_through(server, start):
    """The page and the guide's endpoints answer through the proxy, with HSTS; operators' addresses may read them."""
    with start(server.port) as (proxy, _):
        for path in ("/", "/health", "/livez", "/readyz", *MONITORING):
            answer = proxy.get(path)
            assert answer.status_code == 200, path
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert proxy.get("/gpu-status").json()["total_gpus"] == 1


def test_strangers_do_not_see_the_sessions(server, start, request):
    """From an address that is not on the list the monitoring is closed; health and the page are open."""
    ours = {"127.0.0.0/8": "192.0.2.0/24"} if "nginx" in request.node.name else {"private_ranges": "192.0.2.0/24"}
    with start(server.port, **ours) as (proxy, _):
        refusals = [proxy.get(path) for path in (*MONITORING, "/monitor/events")]
        assert {refusal.status_code for refusal in refusals} == {403}
        for refusal in refusals:
            assert refusal.headers["content-type"].startswith("text/plain")
            assert "add yours there, or set MONITOR_TOKEN" in refusal.text
        assert {proxy.get(path).status_code for path in ("/", "/health")} == {200}


@pytest.fixture(scope="module")
def open_server(start_server):
    """Give a gateway that listens on every address and has no token for monitoring."""
    return start_server(workers=1, HOST="0.0.0.0")


def test_without_a_token_the_operator_is_told_what_to_set(open_server, start):
    """A gateway that others reach shows a proxy's visitors no page and no names, and the sentence says what is missing."""
    with start(open_server.port) as (proxy, _):
        for path in ("/monitor", "/monitor/events", "/monitor/state"):
            refusal = proxy.get(path)
            assert (refusal.status_code, refusal.headers["content-type"]) == (403, "text/plain; charset=utf-8")
            assert "MONITOR_TOKEN" in refusal.text
        assert proxy.get("/gpu-status").json()["gpus"][0]["connection_ids"] is None
    assert open_server.fetch("/monitor").status_code == 200  # asked from the machine itself


@pytest.fixture(scope="module")
def guarded_server(start_server):
    """Give a gateway that listens on every address, with a token for monitoring."""
    return start_server(workers=1, HOST="0.0.0.0", MONITOR_TOKEN=MONITOR_TOKEN)


def test_with_the_token_the_monitor_is_live(guarded_server, start):
    """The token opens page and figures through a proxy, is in no log, and the page's stream comes as it happens."""
    with start(guarded_server.port) as (proxy, _):
        for path in (*MONITORING, "/monitor/events"):
            refusal = proxy.get(path)
            assert refusal.status_code == 401
            assert "MONITOR_TOKEN" in refusal.text
        answer = proxy.get("/gpu-status", authorization=f"Bearer {MONITOR_TOKEN}")
        assert answer.json()["gpus"][0]["connection_ids"] == []
        with proxy.browser() as browser:
            page = browser.get(f"/monitor?token={MONITOR_TOKEN}")
            assert (page.status_code, str(page.url)) == (200, f"{proxy.origin}/monitor")
            assert "; Secure" in page.history[0].headers["set-cookie"]
            for part in ("monitor/app.js", "monitor.css"):
                assert part in page.text
                assert browser.get(f"/{part}").status_code == 200
            _check_the_stream(browser)
        assert MONITOR_TOKEN not in proxy.written()


def _check_the_stream(browser) -> None:
    """Read the stream for some states: each must come soon after the server's clock says that it was made."""
    with browser.stream("GET", "/monitor/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        names, ages_s = [], []
        for event, data in itertools.pairwise(stream.iter_lines()):
            if event.startswith("event: "):
                names.append(event.removeprefix("event: "))
            if event == "event: now":
                ages_s.append(time.time() - json.loads(data.removeprefix("data: "))["at"])
            if len(ages_s) == 4:
                break
    assert set(names) >= {"now", "history", "events"}
    # The gateway makes one each second: a buffer of some kB would hold the first back for longer than this.
    assert max(ages_s) < 2.0


def test_a_gateway_that_is_away_gives_502_and_no_secret(start):
    """While the gateway restarts clients get 502, and the failed request's query is not in the error log."""
    with start(free_port()) as (proxy, _):
        assert proxy.get(f"/asr?token={TOKEN}").status_code == 502
        assert TOKEN not in proxy.written()


@needs("nginx")
def test_plain_http_is_sent_to_https_without_its_query(tmp_path, certificate):
    """Port 80 only redirects: what was in the query is not said again."""
    with nginx(tmp_path, certificate, free_port()) as (_, plain):
        answer = httpx.get(f"http://127.0.0.1:{plain}/x?token={TOKEN}", trust_env=False)
        assert (answer.status_code, answer.headers["location"]) == (301, "https://127.0.0.1/x")


def test_the_gateway_is_started_as_the_proxies_expect():
    """The proxies' upstream is where a gateway without settings listens."""
    code = "from shared.settings import GatewaySettings as G; s = G.defaults(); print(f'{s.host}:{s.port}')"
    address = ran(sys.executable, "-c", code, cwd=DEPLOY.parent).strip()
    assert GATEWAY[-1] == "gateway"
    for file in ("nginx/whisperlivekit.conf", "caddy/Caddyfile"):
        assert address in (DEPLOY / file).read_text()
