"""Open a file, a pipe or a microphone, and decode it into s16le 16 kHz mono."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import BinaryIO, Self

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import EOFError as MediaEnd
from av.error import FFmpegError, InvalidDataError
from av.stream import Disposition

from whisper_live_client.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, duration_s

from .channels import Downmix
from .clock import Clock, silence
from .spool import Spool

_READ_BYTES = 32_768
# FFmpeg's input devices for each system, with the name of the default one where there is such a name.
_MICROPHONES = {
    "linux": (("pulse", "default"), ("alsa", "default")),
    "darwin": (("avfoundation", ":default"),),
    "win32": (("dshow", ""),),
}


class MediaError(Exception):
    """The source cannot be read as audio; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class Track:
    """One audio track of a container; ``number`` counts from 1, ``name`` is its language and title, if it tells."""

    number: int
    name: str

    def __str__(self) -> str:
        return f"{self.number} ({self.name})" if self.name else str(self.number)


class Media:
    """An open source of audio.

    Attributes:
        name: of the source, for messages.
        duration_s: None where it does not tell (a pipe, a microphone).
        tracks: its audio tracks.
        track: the one that is decoded: as players do, the default one, else the first.
        damaged_packets: those that could not be decoded and were left out, so far.
        cancelled: True if channels cancelled each other out, and one of them was taken.
    """

    def __init__(self, container: InputContainer, name: str, track: int | None = None) -> None:
        """Choose a track, by its number from 1 on, if given.

        Raises:
            MediaError: there is no audio, or no such track.
        """
        self.name = name
        self.damaged_packets = 0
        self.cancelled = False
        self._container = container
        streams = container.streams.audio
        self.tracks = tuple(_track(number, stream) for number, stream in enumerate(streams, 1))
        if not streams:
            container.close()
            raise MediaError(f"{name}: there is no audio in it")
        if track is not None and not 1 <= track <= len(streams):
            container.close()
            raise MediaError(f"{name}: there is no track {track}; it has {', '.join(map(str, self.tracks))}")
        default = next((number for number, stream in enumerate(streams, 1) if _is_default(stream)), 1)
        self.track = self.tracks[(track or default) - 1]
        self._stream = streams[self.track.number - 1]
        self.duration_s = container.duration / av.time_base if container.duration else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._container.close()

    def pieces(self) -> Iterator[bytes]:
        """Yield the track's audio, on the container's clock: silence where its time stamps leave a gap.

        Raises:
            MediaError: it cannot be read on, or none of it could be decoded.
        """
        samples = 0
        try:
            for piece in self._convert():
                samples += len(piece) // BYTES_PER_SAMPLE
                yield piece
        except (FFmpegError, OSError) as error:
            raise MediaError(f"{self.name}: {_reason(error)}, at {duration_s(samples):.1f} s") from error
        if not samples and self.damaged_packets:
            raise MediaError(f"{self.name}: none of its audio can be decoded")

    def _frames(self) -> Iterator[AudioFrame]:
        try:
            for packet in self._container.demux(self._stream):
                try:
                    yield from packet.decode()
                except InvalidDataError:
                    self.damaged_packets += 1
        except MediaEnd:
            return

    def _convert(self) -> Iterator[bytes]:
        """Convert frames; after a gap or a change of format comes a fresh resampler, and the old one is flushed."""
        clock = Clock((self._container.start_time or 0) / av.time_base)
        taken_s = 0.0  # what has come out, and what the resampler still keeps
        for _, alike in groupby(
            self._frames(), lambda frame: (frame.format.name, frame.layout.name, frame.sample_rate)
        ):
            downmix: Downmix | None = None
            for frame in chain(alike, [None]):
                if frame is not None:
                    gap = clock.gap(frame, round(taken_s * SAMPLE_RATE))
                    if gap and downmix is not None:
                        yield from downmix.convert(None)
                        downmix = None
                    yield from silence(gap)
                    taken_s += gap / SAMPLE_RATE + frame.samples / frame.sample_rate
                    # The resampler counts samples: it must not see a jump that is filled already.
                    frame.pts = None
                    downmix = downmix or Downmix(len(frame.layout.channels))
                if downmix is not None:
                    yield from downmix.convert(frame)
                    self.cancelled = self.cancelled or downmix.cancelled


def _track(number: int, stream: AudioStream) -> Track:
    told = [stream.metadata.get(key, "") for key in ("language", "title")]
    return Track(number, ", ".join(text for text in told if text and text != "und"))


def _is_default(stream: AudioStream) -> bool:
    return bool(stream.disposition & Disposition.default)


def open_file(path: str, track: int | None = None) -> Media:
    """Open a file by its name.

    Raises:
        MediaError: it is not there, or no audio that can be read.
    """
    # Checked first: PyAV would take a name like "http://..." or "concat:..." for an address.
    if not Path(path).exists():
        raise MediaError(f"{path}: no such file")
    if Path(path).is_dir():
        raise MediaError(f"{path}: is a directory")
    return _open(str(Path(path).resolve()), path, track=track)


def open_stream(stream: BinaryIO, name: str = "standard input", track: int | None = None) -> Media:
    """Open a pipe. One that cannot be read from front to back, like most .m4a, is read to its end first.

    Raises:
        MediaError: it is no audio that can be read.
    """
    spool = Spool(stream)
    try:
        media = _open(spool, name, track=track)
    except MediaError as error:
        if not isinstance(error.__cause__, FFmpegError):
            raise
    else:
        if not spool.has_index_last():
            spool.forget()
            return media
        media.close()  # the audio before the index is only found by going back
    return _open(spool.rewound(), name, track=track)


def open_microphone(device: str | None = None) -> Media:
    """Open this machine's microphone: FFmpeg's device ``FORMAT:NAME`` (``alsa:hw:1``) or NAME, else the default."""
    candidates = _MICROPHONES.get(sys.platform, ())
    if device is not None:
        kind, _, name = device.partition(":")
        known = kind in {candidate[0] for candidate in candidates}
        candidates = ((kind, name),) if known else tuple((kind, device) for kind, _ in candidates)
    _find_alsa_configuration()
    tried = []
    for kind, name in candidates:
        if kind not in av.formats_available or not name:
            continue
        try:
            return _open(name, f"microphone {kind}:{name}", kind)
        except MediaError as error:
            tried.append(str(error))
    none = "no default microphone here: name one with --device, or pipe PCM into `- --raw`"
    raise MediaError("; ".join(tried) or none)


def read_raw(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(_READ_BYTES):
        yield piece


def _open(source: str | BinaryIO | Spool, name: str, kind: str | None = None, track: int | None = None) -> Media:
    av.logging.set_level(av.logging.FATAL)
    try:
        container = av.open(source, mode="r", format=kind, metadata_errors="replace")
    except (FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{name}: {_reason(error)}") from error
    return Media(container, name, track)


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidDataError):
        return "not audio or video that can be read"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _find_alsa_configuration() -> None:
    """Point the ALSA library inside PyAV's wheel to the system's configuration: it looks where it was built."""
    configuration = Path("/usr/share/alsa/alsa.conf")
    if configuration.exists():
        os.environ.setdefault("ALSA_CONFIG_PATH", str(configuration))
