"""Read what is to be said: the clips that come with the project, or a manifest and its sets (shell)."""

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from whisper_live_client.media import MediaError, open_file

from shared.clips import load_clips

from .material import Material, Spacing, Utterance

_SHIPPED_SPACING = Spacing(lead_s=0.0, gap_s=0.6)
_JOINED_SPACING = Spacing(lead_s=0.3, gap_s=0.6)

_Entry = dict[str, object]


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
    entries = _entries(manifest)
    try:
        sets = json.loads(manifest.with_name("sets.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise ManifestError(f"the sets.json beside {manifest} cannot be read: {error!r}") from error
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


def read_language(manifest: Path, language: str, *, clips: Sequence[str] = ("*",), joined: bool = False) -> Material:
    """Read the clips of a manifest whose ``lang`` is a language, each a list of its own, or ``joined`` to one.

    Args:
        manifest: as for `read_set`.
        language: Whisper's code.
        clips: patterns; a clip is taken if its id fits one of them.
        joined: with digital silence between the clips, in one list.

    Raises:
        ManifestError: a file is missing or is not what it should be, or no clip fits.
    """
    chosen = [
        entry
        for name, entry in _entries(manifest).items()
        if entry.get("lang") == language and any(fnmatchcase(name, pattern) for pattern in clips)
    ]
    if not chosen:
        raise ManifestError(f"{manifest}: no clip {' or '.join(clips)} has the language {language!r}")
    decoded = tuple(_utterance(entry, manifest.parent) for entry in chosen)
    return Material(language, (decoded,) if joined else tuple((clip,) for clip in decoded), _JOINED_SPACING)


def _entries(manifest: Path) -> dict[str, _Entry]:
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
        return {entry["id"]: entry for entry in map(json.loads, filter(str.strip, lines))}
    except OSError as error:
        raise ManifestError(f"{error.filename}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{manifest} cannot be read: {error!r}") from error


def _utterance(entry: _Entry, folder: Path) -> Utterance:
    words = entry.get("words")
    timed = tuple((str(text), float(end_s)) for text, end_s in words) if isinstance(words, list) else ()
    try:
        with open_file(str(folder / str(entry["audio"]))) as media:
            pcm = b"".join(media.pieces())
    except MediaError as error:
        raise ManifestError(str(error)) from error
    return Utterance(str(entry["id"]), str(entry.get("text", "")), timed, pcm)
