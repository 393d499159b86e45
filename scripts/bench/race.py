"""Side by side: all contestants hear a piece of audio, each in its turn, before the next piece comes (shell).

Whatever else the machine does hits all of them alike.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

from scripts.replaying.recordings import SAMPLE_RATE

from .contestant import Contestant, Course, Result
from .stages import Stages

PIECE_S = 0.1


def race(
    courses: Sequence[Course], contestants: Sequence[Contestant], on_second: Callable[[float], None]
) -> list[Result]:
    """Run all contestants over all courses.

    Args:
        courses: the streams, one after another.
        contestants: loaded and warm.
        on_second: told how many seconds of audio are done.
    """
    results = [Result(each.name) for each in contestants]
    done_s = 0.0
    with Stages(time.process_time).watching() as stages:
        for course in courses:
            _run(course, contestants, results, stages, partial(_tell, on_second, done_s))
            done_s += len(course.recording.pcm) / SAMPLE_RATE
    return results


def _run(
    course: Course,
    contestants: Sequence[Contestant],
    results: Sequence[Result],
    stages: Stages,
    on_second: Callable[[float], None],
) -> None:
    total, piece = len(course.recording.pcm), round(PIECE_S * SAMPLE_RATE)
    for contestant in contestants:
        contestant.begin(course)
    for start in range(0, total, piece):
        until = min(start + piece, total)
        for contestant, result in zip(contestants, results, strict=True):
            stages.spent = result.stages
            began = time.process_time()
            contestant.bring(until)
            result.cpu_s += time.process_time() - began
        if until // SAMPLE_RATE != start // SAMPLE_RATE:
            on_second(until / SAMPLE_RATE)
    for contestant, result in zip(contestants, results, strict=True):
        stages.spent = result.stages
        began = time.process_time()
        result.replays.append(contestant.finish())
        result.cpu_s += time.process_time() - began


def _tell(on_second: Callable[[float], None], before_s: float, at_s: float) -> None:
    on_second(before_s + at_s)
