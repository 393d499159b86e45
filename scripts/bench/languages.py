"""Languages: sessions in each, with the language given and with it detected, beside the offline reference (shell)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from gpu_worker.recognizer import Recognizer
from scripts.tools.corpus import Corpus, Stream, Utterance, make_streams
from scripts.tools.offline import levelled
from scripts.tools.scoring import normaliser
from scripts.tools.tables import Report

from .baselines import PlainWhisper
from .comparison import hear_offline, race
from .figures import Figures, Part, score_result, table, total
from .options import Options
from .samples import Sample, make_samples
from .slots import ours

Tell = Callable[[str], None]

_HEARD_S = 30.0
"""A model hears no more at once."""


def compare_languages(recognizer: Recognizer, corpora: Sequence[Corpus], options: Options, tell: Tell) -> Report:
    """Hear the corpus of each language (its name) in every way; each list in it is a session."""
    heard = {each.name: _hear(recognizer, each, options, tell) for each in corpora}
    against = "; said is what the offline translation says" if options.task == "translate" else ""
    answers: list[dict[str, object]] = []
    tables = []
    for parts in zip(*heard.values(), strict=True):  # one way, in each language
        way = parts[0].result.name
        found = dict(zip(heard, parts, strict=True))
        figures = [_figures(language, {language: part}) for language, part in found.items()]
        if len(found) > 1:
            figures.append(_figures("all", found))
        sessions = [each for language, part in found.items() for each in _sessions(language, part)]
        answers.append({"way": way, "figures": figures, "sessions": sessions})
        tables.append(table(f"{recognizer.info.name}, {options.task}, {way}{against}", figures))
    return Report({"languages": answers}, tables)


def _figures(name: str, parts: dict[str, Part]) -> Figures:
    right = [each.language == language for language, part in parts.items() for each in part.result.transcriptions]
    return total(name, list(parts.values())) | {"languages_right": (sum(right), len(right))}


def _sessions(language: str, part: Part) -> list[dict[str, object]]:
    """Describe each session; ``said`` is what its audio says, or the offline translation of it."""
    return [
        {
            "clips": sample.clips,
            "spoken": language,
            "taken_for": heard.language,
            "said": sample.texts,
            "heard": heard.text,
        }
        for sample, heard in zip(part.samples, part.result.transcriptions, strict=True)
    ]


def _hear(recognizer: Recognizer, corpus: Corpus, options: Options, tell: Tell) -> list[Part]:
    """Return what was made of a language in every way: live, then offline; the language given, then detected."""
    language, task = corpus.name, options.task
    ways = {"given": language, "detected": None}
    streams = make_streams(_timed(options.model, corpus, tell), len(corpus.lists), None)
    samples = make_samples(streams)
    offline = {
        way: hear_offline(options.model, streams, known, lambda n: tell(f"{language}, offline, session {n}"), task=task)
        for way, known in ways.items()
    }
    if task == "translate":  # what the translation should be is not known
        heard = offline["given"].transcriptions
        samples = [translated(sample, each.text) for sample, each in zip(samples, heard, strict=True)]
    normalise = normaliser("en" if task == "translate" else language)
    references = {way: score_result(result, samples, normalise) for way, result in offline.items()}
    asked = [(way, cadence_s) for way in ways for cadence_s in options.cadences]
    contestants = [
        ours(recognizer, cadence_s, ways[way], task=task, name=f"language {way}, {cadence_s:g} s")
        for way, cadence_s in asked
    ]
    results = race(samples, contestants, lambda at_s: tell(f"{language}, {at_s:.0f} s of audio"))
    parts = [
        score_result(result, samples, normalise, references[way].scores)
        for (way, _), result in zip(asked, results, strict=True)
    ]
    for way, part in references.items():
        part.result.name = f"language {way}, offline"
    return [*parts, *references.values()]


def translated(sample: Sample, text: str) -> Sample:
    """Let a sample say a translation; when each of its words should come is not known."""
    return replace(sample, texts=(text,), words=())


def _timed(model: str, corpus: Corpus, tell: Tell) -> Corpus:
    """Return the corpus with the ends of all words: where they are not timed, the model itself finds them."""
    if all(clip.words for clips in corpus.lists for clip in clips):
        return corpus
    tell(f"{corpus.name}, when the words are said")
    plain = PlainWhisper(model, corpus.name)

    def timed(clip: Utterance) -> Utterance:
        stream = Stream((clip,), (0,))
        if clip.words or stream.duration_s > _HEARD_S:
            return clip
        words = plain.place(clip.text, levelled(stream))
        return replace(clip, words=tuple((word.text.strip(), word.end_s) for word in words))

    return replace(corpus, lists=tuple(tuple(map(timed, clips)) for clips in corpus.lists))
