"""Show the words on standard error while they come."""

import sys

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from whisper_live_client.audio import duration_s
from whisper_live_client.subtitles import clean
from whisper_live_client.transcript import Transcript

_REFRESH_HZ = 10


class Display:
    def update(self, transcript: Transcript) -> None:
        """Look at the transcript again: an event was folded in."""

    def say(self, sentence: str) -> None:
        print(clean(sentence), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Show nothing more."""


class Plain(Display):
    """Prints statuses and each segment once it is closed, for logs and pipes."""

    def __init__(self) -> None:
        self._transcript: Transcript | None = None
        self._statuses = 0
        self._printed: set[int] = set()

    def update(self, transcript: Transcript) -> None:
        self._transcript = transcript
        for status in transcript.statuses[self._statuses :]:
            self.say(f"[{status.message}]")
        self._statuses = len(transcript.statuses)
        self._print_segments(transcript, also_open=False)

    def close(self) -> None:
        if self._transcript:
            self._print_segments(self._transcript, also_open=True)

    def _print_segments(self, transcript: Transcript, *, also_open: bool) -> None:
        for segment in list(transcript.segments.values())[len(self._printed) :]:
            if (segment.closed or also_open) and segment.id not in self._printed:
                self._printed.add(segment.id)
                if text := clean(segment.committed):
                    self._print(text)

    def _print(self, text: str) -> None:
        self.say(text)


class Terminal(Plain):
    """Keeps the newest text on the terminal: committed words plain, the tail dim, a status line above.

    With ``keep`` closed segments scroll up and stay; without it everything is wiped at the end, because the
    transcript is about to be printed on the same terminal.
    """

    def __init__(self, *, keep: bool, audio_s: float | None) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False)
        self._keep = keep
        self._audio_s = audio_s
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=_REFRESH_HZ,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def update(self, transcript: Transcript) -> None:
        self._transcript = transcript
        if self._keep:
            self._print_segments(transcript, also_open=False)

    def say(self, sentence: str) -> None:
        self._console.print(Text(clean(sentence), style="yellow"))

    def close(self) -> None:
        self._live.stop()
        if self._keep:
            super().close()

    def _print(self, text: str) -> None:
        self._live.refresh()  # without the segment: else it stands there twice until the next refresh
        self._console.print(Text(text))

    def _render(self) -> RenderableType:
        transcript = self._transcript
        if transcript is None:
            return Text("Connecting...", style="dim")
        rows = max(self._console.height - 3, 1)
        # Drawn on another thread while messages are folded in: list() copies in one go, a loop would not.
        segments = [segment for segment in list(transcript.segments.values()) if segment.id not in self._printed]
        text = Text()
        # Segments that could not be on the screen any more need no layout.
        for segment in segments[-rows:]:
            text.append(f"{clean(segment.committed)} ")
            if segment.tail:
                text.append(f"{clean(segment.tail)} ", style="dim")
        lines = text.wrap(self._console, self._console.width)
        return Group(Text(self._status(transcript), style="cyan", no_wrap=True), *lines[-rows:])

    def _status(self, transcript: Transcript) -> str:
        status = transcript.statuses[-1].message if transcript.statuses else "Connected"
        sent = _clock(duration_s(transcript.sent_samples))
        of = f" of {_clock(self._audio_s)}" if self._audio_s else ""
        flushing = " · waiting for the last words" if transcript.ended_s is not None else ""
        return f"{clean(status)} · {sent}{of}{flushing}"


def open_display(*, quiet: bool, keep: bool, audio_s: float | None) -> Display:
    if quiet:
        return Display()
    return Terminal(keep=keep, audio_s=audio_s) if sys.stderr.isatty() else Plain()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
