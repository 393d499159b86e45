"""Prometheus' files against Prometheus itself: rules, scrape config, metrics, and every query of the dashboard."""

import asyncio
import contextlib
import json
import math
import re
import signal
import subprocess
import time

import httpx
import pytest

from tests.deploy.running import DEPLOY, needs, ran, running, substituted
from tests.scripted_recognizer import say
from tests.system.server import Server, eventually, free_port
from tests.system.talk import Talk

pytestmark = [pytest.mark.system, needs("promtool", "prometheus")]

FILES = DEPLOY / "prometheus"
RULES = FILES / "whisperlivekit.rules.yml"
CASES = FILES / "whisperlivekit.rules.test.yml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "whisperlivekit.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
NEEDS_A_GPU = {"GPU load"}

GUIDES_LINT = {
    "whisperlivekit_gpu_memory_allocated_gb metric names should not contain abbreviated units",
    'whisperlivekit_gpu_total non-counter metrics should not have "_total" suffix',
    "whisperlivekit_setup_time_ms_avg metric names should not contain abbreviated units",
}
"""What promtool says of names that are the guide's, and therefore stay."""

GUIDES_CAPACITY = "(sum(whisperlivekit_connections_active) / (whisperlivekit_gpu_total * 4)) * 100"
SECONDS = 10.0
TOKEN = "prometheus-and-nobody-else"


class Prometheus:
    """Debian's Prometheus with the shipped files, scraping a server every half second."""

    def __init__(self, port: int) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60)

    def ask(self, path: str, **parameters: str):
        """Return the data of an API answer."""
        answer = self._http.get(f"/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def values(self, query: str) -> list[float]:
        """Return the values of a query now, without those that are not numbers."""
        values = [float(series["value"][1]) for series in self.ask("query", query=query)["result"]]
        return [value for value in values if not math.isnan(value)]


@contextlib.contextmanager
def prometheus(folder, target: int):
    """Run Prometheus."""
    port = free_port()
    (folder / "token").write_text(TOKEN)
    config = substituted(
        (FILES / "prometheus.yml").read_text(),
        {
            "127.0.0.1:8000": f"127.0.0.1:{target}",
            "15s": "500ms",
            "#authorization:": "authorization:",
            "#  credentials_file: /etc/prometheus/whisperlivekit.token": f"  credentials_file: {folder}/token",
        },
    )
    (folder / "prometheus.yml").write_text(config)
    (folder / RULES.name).write_text(RULES.read_text())
    command = [
        "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with running(command, port, folder / "printed"):
        asked = Prometheus(port)
        eventually(lambda: asked.values('up{job="whisperlivekit"} == 1'), 20, "the first scrape")
        yield asked


def expanded(query: str) -> str:
    """Return a dashboard's query as Grafana sends it."""
    return query.replace("$__rate_interval", "1m").replace("$instance", ".*")


async def eight_sessions(server, meanwhile) -> None:
    """Have one session come and go, a worker die under eight, and call ``meanwhile`` while they speak."""
    async with Talk(server) as first:
        await first.ready()
        await first.say(say(["one", "two", "three"]), real_time=True)
    speech = say(["four", "five", "six", "seven", "eight"] * 2, word_s=0.35).pcm.tobytes()
    async with contextlib.AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(Talk(server)) for _ in range(8)]
        await asyncio.gather(*(talk.ready() for talk in talks))
        sending = [asyncio.create_task(talk.send(speech, real_time=True)) for talk in talks]
        await asyncio.sleep(1.5)
        server.signal_worker(3, signal.SIGKILL)
        await asyncio.gather(*sending)
        server.start_worker(3)
        await asyncio.to_thread(server.wait_serving, 4)
        await asyncio.to_thread(meanwhile)
        for talk in talks:
            await talk.finish()
        for talk in talks:
            await talk.done()


def metrics_of(server) -> str:
    """Return the metrics, which are for the bearer of the token alone."""
    assert server.fetch("/metrics/prometheus").status_code == 401
    url, headers = f"{server.http_url}/metrics/prometheus", {"Authorization": f"Bearer {TOKEN}"}
    return httpx.get(url, headers=headers, trust_env=False).raise_for_status().text


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> dict[str, list[float]]:
    """Give what a real Prometheus, which has the token, says to every query while eight sessions are on a gateway."""
    found: dict[str, list[float]] = {}
    with Server(tmp_path_factory.mktemp("run"), workers=4, MONITOR_TOKEN=TOKEN) as server:
        server.start()
        with prometheus(tmp_path_factory.mktemp("prometheus"), server.port) as asked:

            def meanwhile() -> None:
                time.sleep(1.5)  # a scrape or two after the last word
                for query in [*(query for _, query in QUERIES), GUIDES_CAPACITY]:
                    found[query] = asked.values(expanded(query))
                groups = asked.ask("rules")["groups"]
                found["rules"] = [rule["health"] for group in groups for rule in group["rules"]]
                found["metrics"] = metrics_of(server)

            asyncio.run(asyncio.wait_for(eight_sessions(server, meanwhile), 240))
        server.stop()
    return found


# --- the rules ----------------------------------------------------------------------------------------------


def test_the_scrape_config_and_the_rules_are_valid():
    """Promtool takes both as they are shipped."""
    ran("promtool", "check", "config", "prometheus.yml", cwd=FILES)
    ran("promtool", "check", "rules", RULES.name, cwd=FILES)


def test_each_alert_fires_in_its_case():
    """Promtool's own unit tests pass, and every alert has a case in which it fires and one in which it does not."""
    ran("promtool", "test", "rules", CASES.name, cwd=FILES)
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    cases = re.findall(r"alertname: (\w+)\n\s+exp_alerts:( \[\])?", CASES.read_text())
    assert len(alerts) == len(set(alerts))
    assert {name for name, silent in cases if not silent} == set(alerts)
    assert {name for name, silent in cases if silent} == set(alerts)


def test_every_threshold_is_held_by_a_case(tmp_path):
    """The cases bite: with any one comparison of the rules out of reach, they fail."""
    rules = RULES.read_text()
    (tmp_path / CASES.name).write_text(CASES.read_text())
    comparisons = [
        match
        for match in re.finditer(r" (==|>|<) (\d+)", rules)
        if "#" not in rules[: match.start()].rpartition("\n")[2]
    ]
    assert len(comparisons) > len(re.findall("- alert:", rules))
    for match in comparisons:
        unreachable = " < 0" if match[1] == "<" else f" {match[1]} {10**13}"
        (tmp_path / RULES.name).write_text(rules[: match.start()] + unreachable + rules[match.end() :])
        with pytest.raises(AssertionError, match="FAILED"):
            ran("promtool", "test", "rules", CASES.name, cwd=tmp_path)


def test_the_rules_evaluate_against_a_real_gateway(answers):
    """Prometheus has evaluated every rule on our metrics without an error."""
    assert len(answers["rules"]) == len(re.findall("- alert:", RULES.read_text()))
    assert set(answers["rules"]) == {"ok"}


# --- the metrics --------------------------------------------------------------------------------------------


def test_promtool_has_nothing_to_say_but_about_the_guides_names(answers):
    """``promtool check metrics`` gives exactly its lines on names that the guide has fixed."""
    said = ran_lint(answers["metrics"])
    assert set(said) == GUIDES_LINT
    assert len(said) == len(GUIDES_LINT)


def ran_lint(text: str) -> list[str]:
    """Return what promtool says about a scrape; it exits with 3 when it says anything."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()


def test_no_series_names_a_session(answers):
    """Labels have few values: the series of a gateway with four workers are bounded, whatever sessions it had."""
    text = answers["metrics"]
    labels = set(re.findall(r'[{,](\w+)="', text))
    assert labels == {"gpu", "state", "stage", "outcome", "fate", "reason", "le"}
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", text)


def test_what_is_asked_for_is_measured(answers):
    """Every metric named in the rules and in the dashboard is one that the gateway has."""
    families = set(re.findall(r"# TYPE (\w+)", answers["metrics"]))
    asked = "".join(query for _, query in QUERIES) + RULES.read_text()
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"whisperlivekit_\w+", asked)}
    assert names <= families
    assert len(names) > 20


# --- the dashboard ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_a_panels_query_returns_data(answers, title, query):
    """A real Prometheus has numbers for it; only what needs a GPU has none here."""
    assert bool(answers[query]) == (title not in NEEDS_A_GPU)


def test_the_capacity_query_is_mended(answers):
    """The guide's query returns nothing, its labels do not match; ours says 50 % with eight of sixteen slots in use."""
    assert answers[GUIDES_CAPACITY] == []
    gauge = next(query for title, query in QUERIES if title == "System Capacity")
    assert answers[gauge] == [50.0]


def test_the_figures_are_those_of_the_sessions(answers):
    """Eight sessions, four GPUs, and the two that the killed worker held have moved."""
    by_title = {title: answers[query] for title, query in QUERIES}
    assert by_title["Sessions"] == [8.0]
    assert by_title["GPUs serving"] == [4.0]
    assert sum(by_title["GPU Connections"]) == 8
    assert max(by_title["Worker starts"]) == 2
    assert by_title["Moved in 1 h"][0] > 1
    assert by_title["Refused in 1 h"] == [0.0]
    assert 0 < by_title["Connecting takes"][0] < SECONDS
    assert 0 < by_title["Text is behind by"][0] < SECONDS
    assert len(by_title["Streams per step"]) == 4
    assert all(streams >= 1 for streams in by_title["Streams per step"])
    assert all(0 <= share < 1.5 for share in by_title["Time in steps"])


def test_the_guides_four_panels_are_there():
    """With the guide's titles, and its queries but for the one that returns nothing."""
    by_title = {panel["title"]: panel for panel in PANELS}
    assert by_title["GPU Connections"]["type"] == "timeseries"
    assert "whisperlivekit_connections_active" in by_title["GPU Connections"]["targets"][0]["expr"]
    memory = by_title["GPU Memory"]
    assert "whisperlivekit_gpu_memory_allocated_gb" in memory["targets"][0]["expr"]
    assert memory["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    assert by_title["Connection Setup Time"]["type"] == "heatmap"
    assert any("whisperlivekit_setup_time_ms_avg" in query for _, query in QUERIES)
    assert by_title["System Capacity"]["type"] == "gauge"
    steps = by_title["System Capacity"]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 70, 90]


def test_the_dashboard_is_well_formed():
    """Ids are unique, panels do not overlap, and every query asks the chosen data source about the chosen gateways."""
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in PANELS:
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
            metrics = re.findall(r"whisperlivekit_\w+(\{[^}]*\})?", target["expr"])
            assert metrics
            assert all('instance=~"$instance"' in selector for selector in metrics), target["expr"]
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "instance"]
