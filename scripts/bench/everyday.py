"""The everyday set: what people try first, live against offline with the same weights, row by row (shell)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from gpu_worker.recognizer import Recognizer
from scripts.tools.corpus import Stream, make_streams
from scripts.tools.scoring import Score, error_rate, normaliser, respelled, score
from scripts.tools.tables import Report, Table, number

from .comparison import hear_offline, race
from .everyday_material import make_corpus
from .everyday_rows import ROWS
from .options import EVERYDAY, Options
from .samples import Result, make_samples
from .slots import ours

MOST_POINTS = 1.0
"""By how much a row may be worse live than offline: about a word of a hundred."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RowFigures:
    """A row's error rates in percent, and for each session what was said and heard; live by seconds of cadence."""

    name: str
    words: int
    offline_percent: float
    live_percent: dict[float, float]
    sessions: list[dict[str, object]]

    def above(self, cadence_s: float) -> float:
        return self.live_percent[cadence_s] - self.offline_percent

    @property
    def worse(self) -> bool:
        return any(self.above(each) > MOST_POINTS for each in self.live_percent)


def compare_everyday(recognizer: Recognizer, options: Options, tell: Tell) -> Report:
    """Hear the rows that fit ``--clips``; ValueError where none does."""
    chosen = [row for row in ROWS if any(fnmatchcase(row.name, each) for each in options.clips.split(","))]
    if not chosen:
        raise ValueError(f"no row fits {options.clips!r}; there are: {'; '.join(row.name for row in ROWS)}")
    corpora = [make_corpus(row) for row in chosen]
    streams = [make_streams(each, len(each.lists), None) for each in corpora]
    offline = hear_offline(
        options.model,
        [stream for its in streams for stream in its],
        options.language,
        lambda n: tell(f"offline, session {n}"),
        task="transcribe",
    )
    heard = iter(offline.transcriptions)
    found = []
    for row, its in zip(chosen, streams, strict=True):
        reference = Result("offline", [next(heard) for _ in its])
        live = _hear_live(row.name, its, recognizer, options, tell)
        found.append(_figures(row.name, its, reference, dict(zip(options.cadences, live, strict=True))))
    cadences = options.cadences
    worse = [each.name for each in found if each.worse]
    verdict = (
        f"More than {MOST_POINTS:g} point worse live: {', '.join(worse)}."
        if worse
        else (f"No row is more than {MOST_POINTS:g} point worse live than offline.")
    )
    return Report({"everyday": found, "worse": worse}, [_table(recognizer.info.name, found, cadences), verdict])


def _hear_live(
    name: str, streams: Sequence[Stream], recognizer: Recognizer, options: Options, tell: Tell
) -> list[Result]:
    contestants = [ours(recognizer, each, options.language, name=f"{each:g} s") for each in options.cadences]
    return race(make_samples(streams), contestants, lambda at_s: tell(f"{name}, {at_s:.0f} s of audio"))


def _figures(name: str, streams: Sequence[Stream], offline: Result, live: dict[float, Result]) -> RowFigures:
    texts = [stream.spoken().texts for stream in streams]
    reference = _scores_of(texts, offline)
    rates = {cadence_s: error_rate(_scores_of(texts, result)) or 0.0 for cadence_s, result in live.items()}
    sessions: list[dict[str, object]] = []
    for at, said in enumerate(texts):
        heard: dict[str, object] = {each.name: each.transcriptions[at].text for each in (offline, *live.values())}
        sessions.append({"said": said} | heard)
    return RowFigures(name, sum(one.words for one in reference), error_rate(reference) or 0.0, rates, sessions)


def _scores_of(texts: Sequence[Sequence[str]], result: Result) -> list[Score]:
    return scored(texts, [each.text for each in result.transcriptions])


def scored(said: Sequence[Sequence[str]], heard: Sequence[str]) -> list[Score]:
    """Count errors in sessions; words that are the same said apart or together are no errors."""
    clean = normaliser("en")

    def normalise(text: str) -> list[str]:
        return [word.replace("0", "o") for word in clean(text)]  # Whisper's normaliser takes a spelled O for zero

    scores: list[Score] = []
    for texts, found in zip(said, heard, strict=True):
        words = [normalise(text) for text in texts]
        respelt = respelled([word for each in words for word in each], normalise(found))
        scores += score([" ".join(each) for each in words], " ".join(respelt), str.split)
    return scores


def _table(model: str, rows: Sequence[RowFigures], cadences: Sequence[float]) -> Table:
    columns = ["words", "offline, %"]
    for cadence_s in cadences:
        columns += [f"live {cadence_s:g} s, %", "points"]
    lines = []
    for row in rows:
        cells = [number(row.words, "d"), number(row.offline_percent, ".1f")]
        for cadence_s in cadences:
            mark = " *" if row.above(cadence_s) > MOST_POINTS else ""
            cells += [number(row.live_percent[cadence_s], ".1f"), number(row.above(cadence_s), "+.1f") + mark]
        lines.append((row.name, cells))
    title = f"{model}: word error rates; * is more than {MOST_POINTS:g} point above offline"
    return Table(title, columns, lines, corner=EVERYDAY)
