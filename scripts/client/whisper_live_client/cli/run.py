"""Transcribe one source from the command line: display, interrupts, output."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from whisper_live_client.audio import BYTES_PER_SAMPLE, MESSAGE_BYTES, SAMPLE_RATE, duration_s, regroup
from whisper_live_client.blocking_source import BlockingSource
from whisper_live_client.connection import ConnectError
from whisper_live_client.media import Media, MediaError, open_file, open_microphone, open_stream, read_raw
from whisper_live_client.outcome import Exit, Outcome
from whisper_live_client.session import Mode, Session, connect
from whisper_live_client.subtitles import render_json, render_srt, render_text, render_vtt
from whisper_live_client.transcript import Transcript

from .live_display import Display, open_display
from .output import flush_standard_streams, write_transcript
from .report import about, verbose_lines

_FAST_MESSAGE_BYTES = SAMPLE_RATE * BYTES_PER_SAMPLE
_AHEAD = 8
# A microphone cannot be asked to wait: a minute of it is kept while the client does not take more.
_MICROPHONE_AHEAD = 600
_FLUSH_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Options:
    source: str | None
    microphone: bool
    device: str | None
    track: int | None
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
        return self.microphone or not self.fast


def open_input(options: Options) -> tuple[Iterator[bytes], Media | None]:
    """Open what is to be transcribed; return its audio, and where it comes from unless it is raw."""
    name = options.source or "-"
    # Unbuffered: a reader that is stuck in a buffered standard input would hold its lock when the program ends.
    if options.raw:
        try:
            return read_raw(open(0 if name == "-" else name, "rb", buffering=0)), None  # noqa: PTH123
        except OSError as error:
            raise MediaError(f"{name}: {error.strerror}") from error
    if options.microphone:
        media = open_microphone(options.device)
    else:
        pipe = name == "-"
        media = open_stream(open(0, "rb", buffering=0), track=options.track) if pipe else open_file(name, options.track)  # noqa: SIM115
    return media.pieces(), media


def run(options: Options) -> int:
    try:
        pieces, media = open_input(options)
    except MediaError as error:
        print(error, file=sys.stderr)
        return Exit.USAGE
    exit_code, reading = asyncio.run(_transcribe(options, pieces, media))
    if reading:
        # A thread inside a read that may never return must not be waited for, nor torn down with the interpreter.
        flush_standard_streams()
        os._exit(exit_code)
    return exit_code


async def _transcribe(options: Options, pieces: Iterator[bytes], media: Media | None) -> tuple[int, bool]:
    """Run the session; return the exit code, and whether the source is still being read."""
    source = BlockingSource(
        regroup(pieces, _FAST_MESSAGE_BYTES if options.fast else MESSAGE_BYTES),
        ahead=_MICROPHONE_AHEAD if options.microphone else _AHEAD,
        live=options.microphone,
    )
    session = connect(
        options.url,
        mode=options.mode,
        language=options.language,
        task=options.task,
        token=options.token,
        flush_timeout_s=_FLUSH_TIMEOUT_S,
        reconnect_s=options.reconnect_s,
    )
    display = open_display(
        quiet=options.quiet,
        keep=not (sys.stdout.isatty() and options.output is None),
        audio_s=media.duration_s if media else None,
    )
    _on_interrupts(source, display)
    if media and len(media.tracks) > 1 and options.track is None:
        display.say(f"track {media.track} of {', '.join(map(str, media.tracks))}; --track N takes another")
    try:
        # A microphone is its own clock.
        outcome = await _run_session(session, source, display, realtime=options.paced and not options.microphone)
    finally:
        display.close()
    written = _print_results(options, session.transcript, outcome, _losses(media, source))
    source.stop()
    await asyncio.to_thread(source.thread.join, 0.5)
    exit_code = Exit.FAILED if outcome.exit_code is Exit.COMPLETE and not written else outcome.exit_code
    return exit_code, source.thread.is_alive()


def _on_interrupts(source: BlockingSource, display: Display) -> None:
    """Make the first Ctrl-C end the audio, the second one everything."""
    task = asyncio.current_task()
    interrupts = 0

    def interrupt() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 1:
            source.stop()
            display.say("Stopped: waiting for the last words (Ctrl-C again to quit)")
        elif task is not None:
            task.cancel()

    with contextlib.suppress(NotImplementedError):  # where there are no such signals Ctrl-C ends everything
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)


async def _run_session(session: Session, source: BlockingSource, display: Display, *, realtime: bool) -> Outcome:
    broken, told = "", 0
    try:
        async with session:
            try:
                async for _ in session.stream(source, realtime=realtime):
                    display.update(session.transcript)
                    for hint in session.transcript.hints[told:]:
                        display.say(hint.message)
                    told = len(session.transcript.hints)
            except MediaError as error:
                broken = str(error)
    except ConnectError:
        return session.outcome
    except asyncio.CancelledError:
        return Outcome(Exit.INTERRUPTED, "Interrupted: this is not all of it")
    outcome = session.outcome
    return Outcome(Exit.USAGE, broken) if broken and outcome.exit_code is Exit.COMPLETE else outcome


def _losses(media: Media | None, source: BlockingSource) -> list[str]:
    sentences = []
    if media and media.damaged_packets:
        sentences.append(f"{media.name}: {media.damaged_packets} damaged packets were left out")
    if media and media.cancelled:
        sentences.append(
            f"{media.name}: its channels cancel each other out where they are mixed: the louder one was taken"
        )
    if source.lost_bytes:
        lost_s = duration_s(source.lost_bytes // BYTES_PER_SAMPLE)
        sentences.append(f"{lost_s:.1f} s of audio were dropped: the server was slow or away for too long")
    return sentences


def _print_results(options: Options, transcript: Transcript, outcome: Outcome, losses: list[str]) -> bool:
    """Write the transcript, then what there is to say about it; return False if it could not be written as asked."""
    written = write_transcript(_render(options, transcript, outcome), options.output)
    lines = [outcome.sentence] if outcome.sentence else []
    lines += losses
    if transcript.tail and not transcript.complete:
        lines.append(f"not committed: {transcript.tail.strip()}")
    if options.verbose:
        lines += verbose_lines(transcript, paced=options.paced)
    for line in lines:
        print(line, file=sys.stderr)
    return written


def _render(options: Options, transcript: Transcript, outcome: Outcome) -> str:
    segments = transcript.segments.values()
    if options.output_format == "json":
        return render_json(segments, about(transcript, outcome, paced=options.paced))
    return {"text": render_text, "srt": render_srt, "vtt": render_vtt}[options.output_format](segments)
