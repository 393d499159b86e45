"""Decode any audio that PyAV reads, or a microphone, into s16le 16 kHz mono."""

import os
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import BinaryIO, Self

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.error import EOFError as MediaEnd
from av.error import FFmpegError, InvalidDataError

from .audio import BYTES_PER_SAMPLE, SAMPLE_RATE, duration_s

_READ_BYTES = 32_768
# FFmpeg's input devices for each system, with the name of the default one where there is such a name.
_MICROPHONES = {
    "linux": (("pulse", "default"), ("alsa", "default")),
    "darwin": (("avfoundation", ":default"),),
    "win32": (("dshow", ""),),
}


class MediaError(Exception):
    """The source cannot be read as audio; the message is one line for the user."""


class Media:
    """An open source of audio; ``duration_s`` is None where it does not tell (a pipe, a microphone)."""

    def __init__(self, container: InputContainer, name: str) -> None:
        self.name = name
        self.damaged_packets = 0  # those that could not be decoded and were left out
        self._container = container
        if not container.streams.audio:
            container.close()
            raise MediaError(f"{name}: there is no audio in it")
        self._stream = container.streams.audio[0]
        self.duration_s = container.duration / av.time_base if container.duration else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def pieces(self) -> Iterator[bytes]:
        samples = 0
        try:
            for piece in _convert(self._frames()):
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


def _convert(frames: Iterable[AudioFrame]) -> Iterator[bytes]:
    """Resample frames; a stream that changes its format on the way gets a fresh resampler, the old one is flushed."""
    for _, alike in groupby(frames, lambda frame: (frame.format.name, frame.layout.name, frame.sample_rate)):
        resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        for frame in chain(alike, [None]):
            if frame is not None:
                # A container's time stamps may jump; samples are what is counted here.
                frame.pts = None
            for done in resampler.resample(frame):
                # A resampler that has nothing to convert answers a flush with None; planes are padded past the samples.
                if done is not None and done.samples:
                    yield bytes(done.planes[0])[: done.samples * BYTES_PER_SAMPLE]


def open_file(path: str) -> Media:
    # Checked first: PyAV would take a name like "http://..." or "concat:..." for an address.
    if not Path(path).exists():
        raise MediaError(f"{path}: no such file")
    if Path(path).is_dir():
        raise MediaError(f"{path}: is a directory")
    return _open(str(Path(path).resolve()), path)


def open_stream(stream: BinaryIO, name: str = "standard input") -> Media:
    return _open(stream, name)


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


def _open(source: str | BinaryIO, name: str, kind: str | None = None) -> Media:
    av.logging.set_level(av.logging.FATAL)
    try:
        container = av.open(source, mode="r", format=kind, metadata_errors="replace")
    except (FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{name}: {_reason(error)}") from error
    return Media(container, name)


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidDataError):
        return "not audio or video that can be read"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _find_alsa_configuration() -> None:
    """Point the ALSA library inside PyAV's wheel to the system's configuration: it looks where it was built."""
    configuration = Path("/usr/share/alsa/alsa.conf")
    if configuration.exists():
        os.environ.setdefault("ALSA_CONFIG_PATH", str(configuration))
