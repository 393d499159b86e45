"""Read what is to be said: the clips that come with the project, or a manifest and its sets (shell)."""

import json
from pathlib import Path

from scripts.client.media import MediaError, open_file
from shared.clips import load_clips

from .material import Material, Spacing, Utterance

_SHIPPED_SPACING = Spacing(lead_s=0.0, gap_s=0.6)


class ManifestError(Exception):
    """The material cannot be read; the message is one line for the user."""


def shipped() -> Material:
    """Read the clips that come with the project, as one list."""
    clips = tuple(Utterance(clip.id, clip.text, clip.words, clip.pcm()) for clip in load_clips())
    return Material("the shipped clips", (clips,), _SHIPPED_SPACING)


def read_set(manifest: Path, name: str) -> Material:
    """Read one set of a manifest: JSON lines of ``id``, ``audio`` (a path relative to it), ``text`` and ``words``.

    Beside it ``sets.json`` names the sets: ``streams`` (lists of ids) with ``gap_s`` and ``lead_s``, or ``clips``
    (ids, each a stream of its own).

    Raises:
        ManifestError: a file is missing or is not what it should be; the message says which.
    """
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
        entries = {entry["id"]: entry for entry in map(json.loads, filter(str.strip, lines))}
        sets = json.loads(manifest.with_name("sets.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"{error.filename}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{manifest} or the sets.json beside it cannot be read: {error!r}") from error
    if name not in sets:
        raise ManifestError(f"no set {name!r}; there are {', '.join(sets)}")
    chosen = sets[name]
    lists = chosen["streams"] if "streams" in chosen else [[clip] for clip in chosen["clips"]]
    missing = sorted({clip for clips in lists for clip in clips} - set(entries))
    if missing or not all(lists):
        raise ManifestError(f"set {name!r}: {f'{missing[0]} is not in {manifest}' if missing else 'a stream is empty'}")
    decoded = {clip: _utterance(entries[clip], manifest.parent) for clips in lists for clip in clips}
    spacing = Spacing(lead_s=chosen.get("lead_s", 0.0), gap_s=chosen.get("gap_s", 0.0))
    return Material(name, tuple(tuple(decoded[clip] for clip in clips) for clips in lists), spacing)


def _utterance(entry: dict[str, object], folder: Path) -> Utterance:
    words = entry.get("words")
    timed = tuple((str(text), float(end_s)) for text, end_s in words) if isinstance(words, list) else ()
    try:
        with open_file(str(folder / str(entry["audio"]))) as media:
            pcm = b"".join(media.pieces())
    except MediaError as error:
        raise ManifestError(str(error)) from error
    return Utterance(str(entry["id"]), str(entry.get("text", "")), timed, pcm)
