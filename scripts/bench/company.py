"""Streams that are stepped together against one alone: what each costs (shell)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpu_worker.recognizer import Recognizer
from scripts.replaying.recordings import SAMPLE_RATE

from .contestant import Course
from .race import PIECE_S
from .room import Room


@dataclass(frozen=True, slots=True)
class Cost:
    """So many streams together: CPU seconds a second of each stream's audio, and windows in a step on average."""

    streams: int
    cpu_per_audio_s: float
    ratio: float
    windows_per_step: float


def compare_company(
    recognizer: Recognizer,
    period_s: float,
    courses: Sequence[Course],
    language: str | None,
    on_second: Callable[[float], None],
) -> list[Cost]:
    """Hear the first course alone, and beside it all courses together, a piece of audio in turn.

    Each of the others is heard alone as well, so that the same audio is behind both figures.
    """
    recordings = [course.recording for course in courses]
    alone = [Room(recognizer, period_s, [each], language, apart=n) for n, each in enumerate(recordings, 1)]
    together = Room(recognizer, period_s, recordings, language)
    spent = [0.0, 0.0]
    for start in range(0, max(len(each.pcm) for each in recordings), round(PIECE_S * SAMPLE_RATE)):
        until = start + round(PIECE_S * SAMPLE_RATE)
        for which, rooms in enumerate((alone, [together])):
            began = time.process_time()
            for room in rooms:
                room.bring(until)
            spent[which] += time.process_time() - began
        on_second(until / SAMPLE_RATE)
    for which, rooms in enumerate((alone, [together])):
        began = time.process_time()
        for room in rooms:
            room.finish()
        spent[which] += time.process_time() - began
    audio_s = sum(len(each.pcm) for each in recordings) / SAMPLE_RATE
    windows = [sum(sum(room.steps) for room in alone), sum(together.steps)]
    steps = [sum(len(room.steps) for room in alone), len(together.steps)]
    return [
        Cost(count, used / audio_s, used / spent[0], some / most if most else 0.0)
        for count, used, some, most in zip((1, len(courses)), spent, windows, steps, strict=True)
    ]
