"""Side by side: ours, the usual way, and the offline reference (shell)."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from rich.status import Status
from whisper_live_client.audio import SAMPLE_RATE

from gpu_worker.recognizer import Recognizer
from scripts.capacity.stages import Clock, Stages
from scripts.tools.corpus import Stream
from scripts.tools.offline import transcribe
from scripts.tools.scoring import Score, normaliser
from shared.messages import Word

from .baselines import PLAIN_PARTS, PlainWhisper
from .figures import Figures, figures_of, score_result
from .local_agreement import LocalAgreementRun
from .options import Options
from .samples import Contestant, Result, Sample, Transcription
from .slots import ours

PIECE_S = 0.1
_PLAIN_S = 1.0  # the baselines' cadence


def race(
    samples: Sequence[Sample],
    contestants: Sequence[Contestant],
    on_audio: Callable[[float], None],
    *,
    piece_s: float = PIECE_S,
    clock: Clock = time.process_time,
) -> list[Result]:
    """Bring all contestants a piece of audio, each in its turn, before the next one; a piece of 0 s is a whole sample.

    Whatever else the machine does hits all of them alike.
    """
    results = [Result(each.name) for each in contestants]
    done = 0
    with Stages(clock).watching(PLAIN_PARTS) as stages:
        for sample in samples:
            runs = [(each.begin(sample), result) for each, result in zip(contestants, results, strict=True)]
            length = len(sample.pcm)
            piece = round(piece_s * SAMPLE_RATE) or max(length, 1)
            for start in range(0, length, piece):
                for run, result in runs:
                    with _timed(result, stages):
                        run.bring(min(start + piece, length))
                on_audio((done + start) / SAMPLE_RATE)
            for run, result in runs:
                with _timed(result, stages):
                    result.transcriptions.append(run.finish())
            done += length
    return results


@contextmanager
def _timed(result: Result, stages: Stages) -> Iterator[None]:
    stages.spent = result.stages
    began = stages.clock()
    yield
    result.cpu_s += stages.clock() - began


def hear_offline(
    model: str, streams: Sequence[Stream], language: str | None, on_stream: Callable[[int], None], *, task: str
) -> Result:
    """Transcribe whole streams with whisper itself, the reference; no time is known of a word."""
    began = time.process_time()
    found = transcribe(model, streams, language, on_stream, task=task)
    result = Result("offline", cpu_s=time.process_time() - began)
    for stream in streams:
        heard = found[stream.key]
        words = [Word(heard.text, 0, stream.samples, 1.0)] if heard.text else []
        result.transcriptions.append(Transcription(stream.duration_s, words, language=heard.language))
    return result


def compare(
    recognizer: Recognizer, streams: Sequence[Stream], samples: Sequence[Sample], options: Options, status: Status
) -> list[Figures]:
    total_s = sum(sample.audio_s for sample in samples)
    contestants = [ours(recognizer, period_s, options.language) for period_s in options.cadences]
    if options.plain:
        begin = partial(LocalAgreementRun, PlainWhisper(options.model, options.language), _PLAIN_S)
        contestants.append(Contestant(f"plain, {_PLAIN_S:g} s", begin))
    results = race(samples, contestants, lambda at_s: status.update(f"{at_s:.0f} of {total_s:.0f} s of audio"))
    normalise = normaliser(options.language)
    baseline = next((each for each in results if each.name.startswith("plain")), None)
    reference: list[Score] | None = None
    beside = []
    if options.offline:
        result = hear_offline(
            options.model, streams, options.language, lambda n: status.update(f"offline, stream {n}"), task="transcribe"
        )
        offline = score_result(result, samples, normalise)
        reference = list(offline.scores)
        beside.append(figures_of(offline, None))
    return [figures_of(score_result(each, samples, normalise, reference), baseline) for each in results] + beside
