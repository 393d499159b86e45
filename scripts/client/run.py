"""Transcribe one source from the command line: display, interrupts, output (shell)."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .asr_client import AsrClient, CannotConnectError, Mode
from .audio import BYTES_PER_SAMPLE, SAMPLE_RATE, duration_s, regroup
from .feed import Feed
from .live import Display, open_display
from .media import Media, MediaError, open_file, open_microphone, open_stream, read_raw
from .outcome import Exit, Outcome, of_http_status, of_session
from .report import about, verbose_lines
from .session import run_session
from .subtitles import render_json, render_srt, render_text, render_vtt
from .transcript import Transcript

_PACED_MESSAGE_BYTES = SAMPLE_RATE * BYTES_PER_SAMPLE // 10
_FAST_MESSAGE_BYTES = SAMPLE_RATE * BYTES_PER_SAMPLE
_AHEAD = 8
# A microphone cannot be asked to wait: a minute of it is kept while the client does not take more.
_MICROPHONE_AHEAD = 600
_FLUSH_SILENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    source: str | None
    microphone: bool
    device: str | None
    raw: bool
    fast: bool
    url: str
    mode: Mode
    reconnect_s: float
    language: str | None
    task: str | None
    token: str | None = field(repr=False)
    output_format: str
    output: Path | None
    quiet: bool
    verbose: bool

    @property
    def paced(self) -> bool:
        """Whether the clock decides when audio is sent: a microphone is its own clock."""
        return not self.fast and not self.microphone


@dataclass(frozen=True, slots=True)
class Source:
    """Audio that is ready to be read."""

    pieces: Iterator[bytes]
    media: Media | None

    @property
    def duration_s(self) -> float | None:
        """How long it is, where that is known."""
        return self.media.duration_s if self.media else None


def open_source(options: Options) -> Source:
    """Open what is to be transcribed.

    Raises:
        MediaError: it cannot be read; the message is one line.
    """
    if options.microphone:
        media = open_microphone(options.device)
        return Source(media.pieces(), media)
    name = options.source or "-"
    # Unbuffered: a reader that is stuck in a buffered standard input would hold its lock when the program ends.
    if options.raw:
        try:
            return Source(read_raw(open(0 if name == "-" else name, "rb", buffering=0)), None)  # noqa: PTH123
        except OSError as error:
            raise MediaError(f"{name}: {error.strerror}") from error
    media = open_stream(open(0, "rb", buffering=0)) if name == "-" else open_file(name)  # noqa: SIM115
    return Source(media.pieces(), media)


def run(options: Options) -> int:
    """Transcribe, print, and return the exit code."""
    try:
        source = open_source(options)
    except MediaError as error:
        print(error, file=sys.stderr)
        return Exit.USAGE
    exit_code, reading = asyncio.run(_transcribe(options, source))
    if reading:
        # A thread inside a read that may never return must not be waited for, nor torn down with the interpreter.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    return exit_code


async def _transcribe(options: Options, source: Source) -> tuple[int, bool]:
    """Run the session; returns the exit code, and whether the source is still being read."""
    message_bytes = _FAST_MESSAGE_BYTES if options.fast else _PACED_MESSAGE_BYTES
    feed = Feed(
        regroup(source.pieces, message_bytes),
        ahead=_MICROPHONE_AHEAD if options.microphone else _AHEAD,
        live=options.microphone,
    )
    client = AsrClient(
        options.url,
        mode=options.mode,
        language=options.language,
        task=options.task,
        token=options.token,
        flush_silence_s=_FLUSH_SILENCE_S,
        reconnect_s=options.reconnect_s,
    )
    display = open_display(
        quiet=options.quiet,
        keep=not (sys.stdout.isatty() and options.output is None),
        audio_s=source.duration_s,
    )
    _on_interrupts(feed, display)
    try:
        outcome = await _converse(client, feed, display, paced=options.paced)
    finally:
        display.close()
    _conclude(options, client.transcript, outcome, _losses(source.media, feed))
    feed.stop()
    await asyncio.to_thread(feed.thread.join, 0.5)
    return outcome.exit_code, feed.thread.is_alive()


def _on_interrupts(feed: Feed, display: Display) -> None:
    """Make the first Ctrl-C end the audio, the second one everything."""
    task = asyncio.current_task()
    interrupts = 0

    def interrupt() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 1:
            feed.stop()
            display.say("Stopped: waiting for the last words (Ctrl-C again to quit)")
        elif task is not None:
            task.cancel()

    with contextlib.suppress(NotImplementedError):  # where there are no such signals Ctrl-C ends everything
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)


async def _converse(client: AsrClient, feed: Feed, display: Display, *, paced: bool) -> Outcome:
    broken = ""
    try:
        async with client:
            try:
                await run_session(client, feed, paced=paced, on_message=lambda _: display.update(client.transcript))
            except MediaError as error:
                broken = str(error)
    except CannotConnectError as error:
        return of_http_status(error.status, str(error))
    except asyncio.CancelledError:
        return Outcome(Exit.INTERRUPTED, "Interrupted: this is not all of it")
    outcome = of_session(client.transcript, client.close_code, client.problem)
    return Outcome(Exit.USAGE, broken) if broken and outcome.exit_code is Exit.COMPLETE else outcome


def _losses(media: Media | None, feed: Feed) -> list[str]:
    """Say what the source had and the server never got."""
    sentences = []
    if media and media.damaged_packets:
        sentences.append(f"{media.name}: {media.damaged_packets} damaged packets were left out")
    if feed.lost_bytes:
        lost_s = duration_s(feed.lost_bytes // BYTES_PER_SAMPLE)
        sentences.append(f"{lost_s:.1f} s of audio were dropped: the server was slow or away for too long")
    return sentences


def _conclude(options: Options, transcript: Transcript, outcome: Outcome, losses: list[str]) -> None:
    """Write the transcript, and to standard error what there is to say about it."""
    text = _render(options, transcript, outcome)
    if options.output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        try:
            options.output.write_text(text, encoding="utf-8")
        except OSError as error:
            # The words cost time to get: they must not be lost with the file.
            print(f"{options.output}: {error.strerror}; the transcript is on standard output", file=sys.stderr)
            sys.stdout.write(text)
    lines = [outcome.sentence] if outcome.sentence else []
    lines += losses
    if transcript.tail and not transcript.complete:
        lines.append(f"not committed: {transcript.tail.strip()}")
    if options.verbose:
        lines += verbose_lines(transcript, paced=options.paced or options.microphone)
    for line in lines:
        print(line, file=sys.stderr)


def _render(options: Options, transcript: Transcript, outcome: Outcome) -> str:
    segments = transcript.segments.values()
    if options.output_format == "json":
        paced = options.paced or options.microphone
        return render_json(segments, about(transcript, outcome, paced=paced))
    return {"text": render_text, "srt": render_srt, "vtt": render_vtt}[options.output_format](segments)
