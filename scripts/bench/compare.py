"""Side by side: ours, the usual way, faster-whisper where it is installed, and the offline reference (shell)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from gpu_worker.model.whisper_recognizer import Weights
from scripts.load.material import Stream
from scripts.load.normal import normaliser
from scripts.load.reference import transcribe
from scripts.load.scoring import Score

from .contestant import Contestant
from .courses import courses
from .engine import load
from .faster import FasterWhisper, NotHereError
from .figures import Figures, judge, offline, scores
from .plain import PlainWhisper
from .race import race
from .room import Ours
from .usual import Usual


@dataclass(frozen=True, slots=True)
class Entry:
    """Who takes part, and at which cadences."""

    model: str
    language: str | None
    cadences_s: tuple[float, ...]
    plain_cadence_s: float
    faster_model: str | None
    threads: int
    plain: bool
    offline: bool


def compare(found: Weights, streams: Sequence[Stream], entry: Entry, console: Console) -> list[Figures]:
    """Run the comparison; ``console`` is told how it goes."""
    made = courses(streams)
    total_s = sum(len(course.recording.pcm) for course in made) / 16_000
    contestants = _contestants(found, entry, console)
    with console.status("") as status:
        results = race(made, contestants, lambda at_s: status.update(f"{at_s:.0f} of {total_s:.0f} s of audio"))
        normalise = normaliser(entry.language)
        reference: list[Score] | None = None
        figures: list[Figures] = []
        if entry.offline:
            began = time.process_time()
            texts = transcribe(entry.model, streams, entry.language, lambda n: status.update(f"offline, stream {n}"))
            cpu_s = time.process_time() - began
            reference = scores(made, [texts[stream.key] for stream in streams], normalise)
            figures.append(offline(made, reference, cpu_s))
    english = entry.language in {None, "en"}
    baseline = next((each for each in results if each.name.startswith("plain")), None)
    return [
        judge(each, made, normalise, reference=reference, baseline=baseline, english=english) for each in results
    ] + figures


def _contestants(found: Weights, entry: Entry, console: Console) -> list[Contestant]:
    recognizer = load(found)
    contestants: list[Contestant] = [
        Ours(recognizer, period_s, entry.language, apart=n) for n, period_s in enumerate(entry.cadences_s)
    ]
    if entry.plain:
        name = f"plain, {entry.plain_cadence_s:g} s"
        hearing = PlainWhisper(found.file, found.official, entry.language)
        contestants.append(Usual(name, hearing, entry.plain_cadence_s))
    try:
        faster = FasterWhisper(entry.faster_model or entry.model, entry.language, entry.threads)
    except NotHereError as error:
        console.print(f"without faster-whisper: {error}", markup=False)
    else:
        contestants.append(Usual(f"faster, {entry.plain_cadence_s:g} s", faster, entry.plain_cadence_s))
    return contestants
