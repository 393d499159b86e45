"""scripts/load_test as a process against a scripted server, and what it asks of the server and the machine."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner
from websockets.datastructures import Headers
from websockets.http11 import Response

from scripts.load.cli import command
from scripts.load.processes import ServerProcesses, find_server
from tests.scripts.scripted_server import AsrServer, end_of, hello, start_command

PAGES = {
    "/health": {"status": "healthy", "model": "tiny.en"},
    "/gpu-status": {
        "total_connections": 0,
        "gpus": [
            {"gpu_id": number, "active_connections": 0, "lag_s": lag_s}
            for number, lag_s in enumerate((0.25, 0.75, None))
        ],
    },
}


def monitoring(connection, request):
    """Answer the monitoring endpoints beside the WebSocket."""
    if request.path not in PAGES:
        return None
    body = json.dumps(PAGES[request.path]).encode()
    return Response(200, "OK", Headers({"Connection": "close", "Content-Length": str(len(body))}), body)


@pytest.fixture
def talk(tmp_path, speech):
    """Give the options for a set of one clip of a second, said to end in "Hello word."."""
    clip = {"id": "clip", "audio": str(speech), "text": "Hello word.", "words": [["Hello", 0.5], ["word.", 1.0]]}
    (tmp_path / "m.jsonl").write_text(json.dumps(clip))
    (tmp_path / "sets.json").write_text(json.dumps({"talk": {"clips": ["clip"]}}))
    return ["--manifest", tmp_path / "m.jsonl", "--set", "talk", "--ramp", "0"]


async def start(server, *arguments):
    return await start_command(*arguments, "--url", server.url, script="load_test")


def test_a_load_is_measured(talk, tmp_path):
    """Two loads of real sessions come out as a table, as JSON and as an exit code for the bound that is missed."""
    out = tmp_path / "out.json"
    options = [*talk, "--streams", "1,2", "--json", out, "--require", "wer_percent<=50", "--require", "2:complete>=3"]

    async def measure():
        async with AsrServer(hello, process_request=monitoring) as server:
            return await end_of(await start(server, *options)), len(server.conversations)

    done, conversations = asyncio.run(measure())
    assert (done.code, conversations) == (3, 3), done.err
    assert "not met: 2:complete>=3 (it is 2.000)" in done.err
    assert "WER, %" in done.out
    written = json.loads(out.read_text())
    assert "secret" not in out.read_text()
    assert (written["server"]["health"], written["interrupted"]) == (PAGES["/health"], False)
    for streams, run in zip((1, 2), written["runs"], strict=True):
        figures = run["figures"]
        assert (figures["complete"], figures["wrong_books"], figures["violations"]) == (streams, 0, 0)
        assert figures["wer_percent"] == 50.0
        assert figures["lag_max_s"] == 0.75
        # "Hello" was said in the script's first 0.2 s; its end was sent at 0.5 s.
        assert figures["shown_p50_s"] < 0.0
        assert [session["text"] for session in run["sessions"]] == ["Hello world."] * streams


def test_a_failed_session_fails_the_run(talk):
    """A refusal is said with its reason and ends in exit code 1; the other session's figures are there."""

    async def second_refused(conversation, seen=[]):  # noqa: B006 - counts the connections
        seen.append(conversation)
        if len(seen) == 1:
            return await hello(conversation)
        await conversation.say("error", error="No GPU resources available", retry_after_s=5)
        await conversation.socket.close(1013)
        return None

    async def measure():
        async with AsrServer(second_refused, process_request=monitoring) as server:
            return await end_of(await start(server, *talk, "--streams", "2"))

    done = asyncio.run(measure())
    assert done.code == 1
    assert ": refused: No GPU resources available (try again in 5 s)" in done.err
    assert "1 / 1" in done.out


def test_an_interrupt_ends_with_what_is_there(talk):
    """Ctrl-C ends the audio, takes in the last words and prints the figures of what was sent."""

    async def measure():
        speaking = asyncio.Event()

        async def script(conversation):
            speaking.set()
            await hello(conversation)

        async with AsrServer(script, process_request=monitoring) as server:
            process = await start(server, *talk, "--seconds", "60")
            async with asyncio.timeout(200):
                await speaking.wait()
            process.send_signal(signal.SIGINT)
            return await end_of(process)

    done = asyncio.run(measure())
    assert done.code == 130, done.err
    assert "words said / heard" in done.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--streams", "0"], "from 1 on"),
        (["--streams", "1,x"], "from 1 on"),
        (["--require", "nonsense<=1"], "no figure 'nonsense'"),
        (["--set", "talk"], "go together"),
        (["--url", "ftp://host"], "not the address"),
        (["--json", "/nowhere/at/all.json"], "no directory"),
    ],
)
def test_wrong_options_are_refused(options, says):
    """What makes no sense is refused before anything is sent."""
    result = CliRunner().invoke(command, options)
    assert result.exit_code == 2
    assert says in result.output


@pytest.fixture
def worker():
    """Give a process that looks like a worker and has used a third of a CPU second since it was first looked at."""
    code = "import time\ninput()\nbegan = time.process_time()\nwhile time.process_time() < began + 0.3: pass\nprint('done', flush=True)\ninput()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "-m", "gpu_worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


def test_the_cpu_time_of_workers_is_counted(worker):
    """Only what is used after the start counts, by role, also of a process that has ended since."""
    processes = ServerProcesses([worker.pid])
    worker.stdin.write("\n")
    worker.stdin.flush()
    worker.stdout.readline()
    used = processes.cpu_time()
    assert used.gateway_s is None
    assert 0.2 < used.workers_s < 1.5
    worker.kill()
    worker.wait()
    assert processes.cpu_time() == used


def test_a_server_is_found_only_by_its_port(tmp_path, worker):
    """A stale pid file, or one of another server, does not lend its CPU time to this one."""
    assert find_server(tmp_path, 8000) is None
    (tmp_path / "supervisord.pid").write_text(f"{worker.pid}\n")
    assert find_server(tmp_path, 8000) is None
    (tmp_path / "supervisord.pid").write_text(str(os.getpid()))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert find_server(tmp_path, port) == os.getpid()
    assert find_server(tmp_path, port) is None
