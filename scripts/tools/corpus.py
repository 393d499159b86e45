"""Utterances, and the streams made of them: of the shipped clips, or of a manifest (shell)."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from whisper_live_client.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from whisper_live_client.media import MediaError, open_file

from shared.clips import load_clips


class ManifestError(Exception):
    """The corpus cannot be read; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A recording (s16le, 16 kHz, mono), and what is said there; words with their ends in seconds, where timed."""

    id: str
    text: str
    words: tuple[tuple[str, float], ...]
    pcm: bytes = field(repr=False)

    @property
    def samples(self) -> int:
        return len(self.pcm) // BYTES_PER_SAMPLE


@dataclass(frozen=True, slots=True)
class Corpus:
    """What streams are made of: for each the utterances in it, and the digital silence before and between them."""

    name: str
    lists: tuple[tuple[Utterance, ...], ...]
    lead_s: float
    gap_s: float


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word of a stream; ``end_s`` is where it ends in the stream, None where it is not timed."""

    text: str
    end_s: float | None


@dataclass(frozen=True, slots=True)
class SpokenText:
    texts: tuple[str, ...]
    words: tuple[SpokenWord, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """Utterances at their places, in samples from the start; the stream ends with the last one."""

    utterances: tuple[Utterance, ...]
    starts: tuple[int, ...]

    @property
    def samples(self) -> int:
        return self.starts[-1] + self.utterances[-1].samples

    @property
    def duration_s(self) -> float:
        return self.samples / SAMPLE_RATE

    @property
    def key(self) -> tuple[str, ...]:
        """What is in it, in order: two streams of one corpus with the same key are the same."""
        return tuple(utterance.id for utterance in self.utterances)

    def pieces(self) -> Iterator[bytes]:
        position = 0
        for start, utterance in zip(self.starts, self.utterances, strict=True):
            yield bytes((start - position) * BYTES_PER_SAMPLE)
            yield utterance.pcm
            position = start + utterance.samples

    def spoken(self, sent_samples: int | None = None) -> SpokenText:
        """Return what is said in all of it, or in its first samples: of a cut utterance, the words before the cut."""
        sent = self.samples if sent_samples is None else sent_samples
        texts: list[str] = []
        words: list[SpokenWord] = []
        for start, utterance in zip(self.starts, self.utterances, strict=True):
            if start >= sent:
                break
            timed = [SpokenWord(text, start / SAMPLE_RATE + end_s) for text, end_s in utterance.words]
            if start + utterance.samples <= sent:
                texts.append(utterance.text)
                words += timed or [SpokenWord(text, None) for text in utterance.text.split()]
                continue
            kept = [word for word in timed if word.end_s is not None and word.end_s * SAMPLE_RATE <= sent]
            texts.append(" ".join(word.text for word in kept))
            words += kept
        return SpokenText(tuple(texts), tuple(words))


def make_streams(corpus: Corpus, count: int, seconds: float | None) -> list[Stream]:
    """Make streams; where there are fewer lists than streams, a list comes again from its next utterance on.

    With ``seconds`` the utterances are repeated until a stream is at least so long (it ends with a whole one); None
    plays each list once. Of material without audio nothing can be made: ValueError.
    """
    made = []
    for number in range(count):
        turns, which = divmod(number, len(corpus.lists))
        utterances = corpus.lists[which]
        turn = turns % len(utterances)
        made.append(_compose(utterances[turn:] + utterances[:turn], corpus, seconds))
    return made


def _compose(utterances: Sequence[Utterance], corpus: Corpus, seconds: float | None) -> Stream:
    if not any(utterance.samples for utterance in utterances):
        raise ValueError("there is no audio in the material")
    wanted = round((seconds or 0.0) * SAMPLE_RATE)
    position = round(corpus.lead_s * SAMPLE_RATE)
    gap = round(corpus.gap_s * SAMPLE_RATE)
    placed: list[Utterance] = []
    starts: list[int] = []
    while not placed or position - gap < wanted:
        for utterance in utterances:
            placed.append(utterance)
            starts.append(position)
            position += utterance.samples + gap
            if seconds is not None and position - gap >= wanted:
                break
    return Stream(tuple(placed), tuple(starts))


def shipped_clips() -> Corpus:
    clips = tuple(Utterance(clip.id, clip.text, clip.words, clip.pcm()) for clip in load_clips())
    return Corpus("the shipped clips", (clips,), lead_s=0.0, gap_s=0.6)


_Parsed = TypeVar("_Parsed")


def read_set(manifest: Path | None, name: str | None) -> Corpus:
    """Read one set of a manifest, or the shipped clips; ManifestError says what is wrong with it.

    A manifest is JSON lines of ``id``, ``audio`` (a path relative to it), ``text`` and ``words``
    (``[[word, end in seconds], ...]``). ``sets.json`` beside it names the sets: ``streams`` (lists of ids) with
    ``gap_s`` and ``lead_s``, or ``clips`` (ids, each a stream of its own).
    """
    if manifest is None or name is None:
        return shipped_clips()
    entries = _read_json(manifest, _entries)
    found = _read_json(manifest.with_name("sets.json"), json.loads)
    if name not in found:
        raise ManifestError(f"no set {name!r}; there are {', '.join(found)}")
    chosen = found[name]
    lists = chosen["streams"] if "streams" in chosen else [[clip] for clip in chosen["clips"]]
    missing = sorted({clip for clips in lists for clip in clips} - set(entries))
    if missing:
        raise ManifestError(f"set {name!r}: {missing[0]} is not in {manifest}")
    if not all(lists):
        raise ManifestError(f"set {name!r}: a stream is empty")
    decoded = {clip: _utterance(manifest.parent, entries[clip]) for clips in lists for clip in clips}
    utterances = tuple(tuple(decoded[clip] for clip in clips) for clips in lists)
    return Corpus(name, utterances, chosen.get("lead_s", 0.0), chosen.get("gap_s", 0.0))


def read_language(manifest: Path, language: str, clips: Sequence[str] = ("*",)) -> Corpus:
    """Read the clips of a language (Whisper's code, in ``lang``) whose id fits a pattern, each a list of its own."""
    chosen = [
        entry
        for name, entry in _read_json(manifest, _entries).items()
        if entry.get("lang") == language and any(fnmatchcase(name, pattern) for pattern in clips)
    ]
    if not chosen:
        raise ManifestError(f"{manifest}: no clip {' or '.join(clips)} has the language {language!r}")
    return Corpus(language, tuple((_utterance(manifest.parent, entry),) for entry in chosen), lead_s=0.3, gap_s=0.6)


def _entries(text: str) -> dict[str, dict[str, object]]:
    return {entry["id"]: entry for entry in map(json.loads, filter(str.strip, text.splitlines()))}


def _read_json(file: Path, parse: Callable[[str], _Parsed]) -> _Parsed:
    try:
        return parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"{error.filename}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{file} cannot be read: {error!r}") from error


def _utterance(folder: Path, entry: dict[str, object]) -> Utterance:
    words = entry.get("words")
    timed = tuple((str(text), float(end_s)) for text, end_s in words) if isinstance(words, list) else ()
    try:
        with open_file(str(folder / str(entry["audio"]))) as media:
            pcm = b"".join(media.pieces())
    except MediaError as error:
        raise ManifestError(str(error)) from error
    return Utterance(str(entry["id"]), str(entry.get("text", "")), timed, pcm)
