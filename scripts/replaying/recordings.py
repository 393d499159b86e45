"""Recordings and what is known of them: files, clips of a manifest, sets of clips joined to streams.

A manifest has one JSON object a line: ``id``, ``audio`` (a path relative to it), ``text``, and for some ``words``:
``[[word, end in seconds], ...]``. A sets file names streams of clip ids: ``{"name": {"gap_s": 0.6, "lead_s": 0.3,
"streams": [[id, ...], ...]}}`` or ``{"name": {"clips": [id, ...]}}``.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from whisper_live_client.media import open_file

SAMPLE_RATE = 16_000


@dataclass(frozen=True, slots=True)
class Recording:
    """Audio and, where known, what it says: ``text``, and words with the second each ends at."""

    name: str
    pcm: NDArray[np.int16]
    text: str | None = None
    words: tuple[tuple[str, float], ...] = ()

    def repeated(self, times: int) -> "Recording":
        """Return the recording so many times in a row."""
        length_s = len(self.pcm) / SAMPLE_RATE
        words = [(word, end_s + turn * length_s) for turn in range(times) for word, end_s in self.words]
        text = None if self.text is None else " ".join([self.text] * times)
        return Recording(self.name, np.tile(self.pcm, times), text, tuple(words))


@dataclass(frozen=True, slots=True)
class _Clip:
    file: Path
    text: str
    words: tuple[tuple[str, float], ...]


def read_file(file: Path) -> Recording:
    """Return a recording of which nothing is known.

    Raises:
        MediaError: it is no audio.
    """
    return Recording(file.name, _decode(file))


def read_set(manifests: list[Path], sets: Path, name: str) -> list[Recording]:
    """Return the streams of a set, clips joined with its gaps.

    Raises:
        KeyError: there is no such set, or a clip of it is in none of the manifests.
        MediaError: a clip is no audio.
    """
    clips = {clip: value for manifest in manifests for clip, value in _read_manifest(manifest).items()}
    entry = json.loads(sets.read_text())[name]
    if "clips" in entry:
        return [_join([clips[clip]], clip, 0.0, 0.0) for clip in entry["clips"]]
    return [
        _join([clips[clip] for clip in stream], f"{name}/{number}", entry["lead_s"], entry["gap_s"])
        for number, stream in enumerate(entry["streams"])
    ]


def _read_manifest(manifest: Path) -> dict[str, _Clip]:
    entries = [json.loads(line) for line in manifest.read_text().splitlines() if line.strip()]
    return {
        entry["id"]: _Clip(
            manifest.parent / entry["audio"],
            entry.get("text", ""),
            tuple((word, end_s) for word, end_s in entry.get("words", [])),
        )
        for entry in entries
    }


def _join(clips: list[_Clip], name: str, lead_s: float, gap_s: float) -> Recording:
    parts = [_silence(lead_s)]
    words: list[tuple[str, float]] = []
    for clip in clips:
        offset_s = sum(map(len, parts)) / SAMPLE_RATE
        words += [(word, offset_s + end_s) for word, end_s in clip.words]
        parts += [_decode(clip.file), _silence(gap_s)]
    return Recording(name, np.concatenate(parts), " ".join(clip.text for clip in clips), tuple(words))


def _silence(seconds: float) -> NDArray[np.int16]:
    return np.zeros(round(seconds * SAMPLE_RATE), np.int16)


def _decode(file: Path) -> NDArray[np.int16]:
    with open_file(str(file)) as media:
        return np.frombuffer(b"".join(media.pieces()), dtype="<i2")
