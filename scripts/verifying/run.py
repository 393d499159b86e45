"""Make all checks, print them, and return the exit code (shell)."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from whisper_live_client.connection import session_url

from scripts.load.manifest import shipped
from scripts.load.material import Stream, streams

from .guest import Wishes
from .judging import good, judge
from .look import Look
from .results import render
from .rows import Verdict
from .story import Bounds, Story
from .survey import CannotRunError, Survey
from .view import make_console, open_view, print_table

GOOD, BAD, CANNOT_RUN, INTERRUPTED = 0, 1, 3, 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for; ``json_path`` may be ``-``."""

    wishes: Wishes
    bounds: Bounds
    monitor_token: str | None
    json_path: str | None


def run(options: Options) -> int:
    """Make all checks, print them, and return the exit code."""
    console = make_console(stderr=options.json_path == "-")
    began = datetime.now(UTC)
    view = open_view(console)
    survey = Survey(session_url(options.wishes.url, {}), options.monitor_token)

    def show(doing: str, look: Look) -> None:
        view.show(doing, look, story.seen)

    story = Story(options.wishes, options.bounds, survey, _streams, show)
    trouble: str | None = None
    interrupted = False
    try:
        interrupted = asyncio.run(_until_the_end(story))
    except CannotRunError as error:
        trouble = str(error)
    finally:
        view.close()
    code = _code(story, trouble, interrupted=interrupted)
    _conclude(console, options, story, trouble, code)
    about: dict[str, object] = {
        "began": began.isoformat(timespec="seconds"),
        "url": options.wishes.url,
        "seconds": options.bounds.seconds,
        "interrupted": interrupted,
        "trouble": trouble,
        "exit_code": code,
    }
    _write(options.json_path, render(about, judge(story.seen) if story.seen else (), story.seen))
    return code


def _streams(count: int) -> Sequence[Stream]:
    return streams(shipped(), count, None)


async def _until_the_end(story: Story) -> bool:
    """Tell the story; return whether a signal ended it."""
    telling = asyncio.create_task(story.run())
    for number in _SIGNALS:
        with contextlib.suppress(NotImplementedError):  # where there are no such signals Ctrl-C ends everything
            asyncio.get_running_loop().add_signal_handler(number, telling.cancel)
    try:
        await telling
    except asyncio.CancelledError:
        return True
    return False


def _code(story: Story, trouble: str | None, *, interrupted: bool) -> int:
    if trouble is not None:
        return CANNOT_RUN
    if interrupted or story.seen is None:
        return INTERRUPTED
    return GOOD if good(judge(story.seen)) else BAD


def _conclude(console: Console, options: Options, story: Story, trouble: str | None, code: int) -> None:
    seen = story.seen
    if seen is not None:
        rows = judge(seen)
        plan, model = seen.plan, seen.idle.model or "an unknown model"
        slots = "+".join(map(str, plan.slots)) if len(set(plan.slots)) > 1 else f"{len(plan.slots)} x {plan.slots[0]}"
        devices = " ".join(sorted({gpu.device for gpu in seen.idle.serving if gpu.device}))
        console.print(
            f"{options.wishes.url}: {slots} slots, {model}{f' on {devices}' if devices else ''}", markup=False
        )
        if seen.idle.missing:
            console.print(f"not serving: GPU {', '.join(map(str, seen.idle.missing))}", style="red", markup=False)
        console.print()
        print_table(console, rows)
        console.print()
        counts = {verdict: sum(row.verdict is verdict for row in rows) for verdict in Verdict}
        sentence = f"{counts[Verdict.PASS]} of {len(rows)} pass"
        sentence += f", {counts[Verdict.FAIL]} fail" if counts[Verdict.FAIL] else ""
        sentence += f", {counts[Verdict.NONE]} cannot be made here" if counts[Verdict.NONE] else ""
        sentence += f", {counts[Verdict.OPEN]} were not made" if counts[Verdict.OPEN] else ""
        console.print(f"{sentence}.", style="bold green" if code == GOOD else "bold red", markup=False)
    if trouble is not None:
        console.print(
            f"Stopped: {trouble}" if seen else f"Cannot run: {trouble}", style="red", markup=False, soft_wrap=True
        )
    if code == INTERRUPTED:
        console.print("Interrupted; no session was left behind.", markup=False) if story.left == 0 else None
    if story.left:
        console.print(f"The server still counts {story.left} sessions more than before.", style="red", markup=False)


def _write(path: str | None, text: str) -> None:
    if path == "-":
        sys.stdout.write(text)
    elif path is not None:
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            print(f"{path}: {error.strerror}", file=sys.stderr)
