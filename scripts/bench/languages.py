"""Languages: sessions in each, with the language given and with it detected, beside the offline reference (shell)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gpu_worker.model.whisper_recognizer import Weights
from gpu_worker.recognizer import Recognizer
from scripts.load.material import Material, Stream, Utterance
from scripts.load.material import streams as make_streams
from scripts.load.normal import normaliser
from scripts.load.reference import _levelled as levelled
from scripts.load.reference import transcripts
from scripts.replaying.recordings import SAMPLE_RATE
from scripts.replaying.run import Replay
from shared.messages import Word

from .contestant import Course, Result
from .courses import courses
from .figures import Figures, Part, part, scores, total
from .plain import PlainWhisper
from .race import race
from .room import Ours

Tell = Callable[[str], None]

_WORDS = {True: "given", False: "detected"}
_HEARD_S = 30.0
"""A model hears no more at once."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of each language: a model, cadences, and ``transcribe`` or ``translate``."""

    model: str
    cadences_s: tuple[float, ...]
    task: str


@dataclass(frozen=True, slots=True)
class Session:
    """What became of one session; ``said`` is what its audio says, or the offline translation of it."""

    clips: tuple[str, ...]
    spoken: str
    taken_for: str | None
    said: tuple[str, ...]
    heard: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One way to hear: its figures language by language and over all, and its sessions."""

    way: str
    figures: tuple[Figures, ...]
    sessions: tuple[Session, ...]


@dataclass(frozen=True, slots=True)
class _Way:
    name: str
    part: Part
    sessions: tuple[Session, ...]


def compare_languages(weights: Weights, recognizer: Recognizer, materials: Sequence[Material], question: Question,
                      tell: Tell) -> list[Answer]:  # fmt: skip
    """Hear the material of each language (its name) in every way.

    Args:
        weights: the model's, for the reference and the places of words that nobody timed.
        recognizer: the same model, loaded.
        materials: one a language; each list in it is a session.
        question: what is asked.
        tell: told how it goes.
    """
    heard = {each.name: _hear(weights, recognizer, each, question, tell) for each in materials}
    answers = []
    for way in next(iter(heard.values())):
        found = {language: next(each for each in ways if each.name == way.name) for language, ways in heard.items()}
        figures = [_figures(language, [each]) for language, each in found.items()]
        if len(found) > 1:
            figures.append(_figures("all", list(found.values())))
        sessions = tuple(session for each in found.values() for session in each.sessions)
        answers.append(Answer(way.name, tuple(figures), sessions))
    return answers


def _figures(name: str, ways: Sequence[_Way]) -> Figures:
    sessions = [session for way in ways for session in way.sessions]
    right = sum(session.taken_for == session.spoken for session in sessions)
    return replace(total(name, [way.part for way in ways]), languages_right=(right, len(sessions)))


def _hear(weights: Weights, recognizer: Recognizer, material: Material, question: Question, tell: Tell) -> list[_Way]:
    language = material.name
    streams = make_streams(_placed(weights, material, tell), len(material.lists), None)
    made = courses(streams)
    offline = {known: _offline(streams, made, language if known else None, question, tell) for known in (True, False)}
    if question.task == "translate":  # nobody has told what the translation should be
        made = [_translated(each, heard.text) for each, heard in zip(made, offline[True].replays, strict=True)]
    normalise = normaliser("en" if question.task == "translate" else language)
    references = {
        known: scores(made, [replay.text for replay in result.replays], normalise) for known, result in offline.items()
    }
    asked = [(known, cadence_s) for known in (True, False) for cadence_s in question.cadences_s]
    contestants = [
        Ours(recognizer, cadence_s, language if known else None, task=question.task, apart=number)
        for number, (known, cadence_s) in enumerate(asked)
    ]
    results = race(made, contestants, lambda at_s: tell(f"{language}, {at_s:.0f} s of audio"))
    english = language == "en"
    ways = []
    for (known, cadence_s), result in zip(asked, results, strict=True):
        found = part(result, made, normalise, reference=references[known], english=english)
        ways.append(_way(f"language {_WORDS[known]}, {cadence_s:g} s", found, language, streams, made))
    for known, result in offline.items():
        found = part(result, made, normalise, reference=None, english=english)
        ways.append(_way(f"language {_WORDS[known]}, offline", found, language, streams, made))
    return ways


def _translated(course: Course, text: str) -> Course:
    """Let a course say a translation; when each of its words should come, nobody knows."""
    return replace(course, texts=(text,), recording=replace(course.recording, text=text, words=()))


def _offline(
    streams: Sequence[Stream], made: Sequence[Course], language: str | None, question: Question, tell: Tell
) -> Result:
    began = time.process_time()
    found = transcripts(
        question.model, streams, language, lambda n: tell(f"{language}, offline, session {n}"), task=question.task
    )
    result = Result("offline", cpu_s=time.process_time() - began)
    for stream, course in zip(streams, made, strict=True):
        length = len(course.recording.pcm)
        heard = found[stream.key]
        words = [Word(heard.text, 0, length, 1.0)] if heard.text else []
        result.replays.append(Replay(length / SAMPLE_RATE, words, language=heard.language))
    return result


def _way(name: str, found: Part, language: str, streams: Sequence[Stream], made: Sequence[Course]) -> _Way:
    sessions = tuple(
        Session(stream.key, language, replay.language, course.texts, replay.text)
        for stream, course, replay in zip(streams, made, found.result.replays, strict=True)
    )
    return _Way(name, found, sessions)


def _placed(weights: Weights, material: Material, tell: Tell) -> Material:
    """Return the material with the ends of all words: where nobody timed them, the model itself finds them."""
    if all(clip.words for clips in material.lists for clip in clips):
        return material
    tell(f"{material.name}, when the words are said")
    model = PlainWhisper(weights.file, weights.official, material.name)
    lists = tuple(tuple(clip if clip.words else _timed(clip, model) for clip in clips) for clips in material.lists)
    return replace(material, lists=lists)


def _timed(clip: Utterance, model: PlainWhisper) -> Utterance:
    if clip.samples > _HEARD_S * SAMPLE_RATE:
        return clip
    words = model.place(clip.text, levelled(Stream((clip,), (0,))))
    return replace(clip, words=tuple((word.text.strip(), word.end_s) for word in words))
