"""The encoder alone: each utterance as one window, with its 30 s in full and with the silence compacted (shell)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.status import Status
from whisper_live_client.audio import SAMPLE_RATE

from gpu_worker.model.nn.compaction import EncoderSettings
from gpu_worker.model.nn.linear import EXACT, cpu_precision
from gpu_worker.recognizer import WindowRequest, WindowResult
from scripts.capacity.stages import Stages
from scripts.tools.corpus import Utterance
from scripts.tools.reports import Report, Table
from scripts.tools.scoring import Interval, Score, difference_interval, error_interval, error_rate, normaliser, score
from scripts.tools.tables import number, value_of

from .models import Model

_MOST_SAMPLES = 29 * SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Encoded:
    """One way to encode: CPU time a window, and what a decode of it is worth."""

    name: str
    encode_ms: float
    ratio: float
    wer_percent: float | None
    wer: Interval | None
    above_full: Interval | None
    fallbacks: int


def compare_encoders(model: Model, utterances: Sequence[Utterance], language: str | None, status: Status) -> Report:
    """Encode and decode each utterance in all ways, in turn; those over 29 s are left out."""
    quick = cpu_precision(model.weights.dims.n_audio_state)
    whole = EncoderSettings(tail=model.weights.dims.n_audio_ctx)
    ways = {
        "full, fp32": model.load(EXACT, whole),
        f"full, {quick.encoder}": model.load(quick, whole),
        f"compacted, {quick.encoder}": model.load(quick),
    }
    spent: dict[str, dict[str, float]] = {name: {} for name in ways}
    scored: dict[str, list[Score]] = {name: [] for name in ways}
    normalise = normaliser(language)
    chosen = [each for each in utterances if each.samples <= _MOST_SAMPLES]
    with Stages(time.process_time).watching() as stages:
        for done, utterance in enumerate(chosen, 1):
            status.update(f"window {done} of {len(chosen)}")
            pcm = np.frombuffer(utterance.pcm, dtype="<i2")
            request = WindowRequest(0, pcm, 0, 0, language, "transcribe", (), (), (), reuse=False)
            for name, recognizer in ways.items():
                stages.spent = spent[name]
                [answer] = recognizer.transcribe([request])
                if not isinstance(answer, WindowResult):
                    raise answer
                scored[name] += score([utterance.text], "".join(word.text for word in answer.words), normalise)
    full = next(iter(ways))
    found = [
        Encoded(
            name,
            1000.0 * spent[name]["encoder"] / len(chosen),
            spent[full]["encoder"] / spent[name]["encoder"],
            error_rate(scored[name]),
            error_interval(scored[name]),
            None if name == full else difference_interval(scored[name], scored[full]),
            recognizer.fallbacks,
        )
        for name, recognizer in ways.items()
    ]
    rows = [
        ("encode a window, ms of CPU", [number(way.encode_ms, ".1f") for way in found]),
        ("times cheaper than full fp32", [number(way.ratio, ".2f") for way in found]),
        ("WER, %", [number(way.wer_percent, ".2f") for way in found]),
        ("  above full fp32, points", [number(value_of(way.above_full), "+.2f") for way in found]),
        ("encoded again in full", [str(way.fallbacks) for way in found]),
    ]
    title = f"{model.name}, the encoder alone, {len(utterances)} windows"
    return Report({"encoders": found}, [Table(title, list(ways), rows)])
