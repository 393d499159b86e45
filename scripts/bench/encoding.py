"""The encoder alone: each utterance as one window, with its 30 s in full and with the silence compacted (shell)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gpu_worker.model.columns import EncoderSettings
from gpu_worker.model.linear import EXACT, cpu_precision
from gpu_worker.model.whisper_recognizer import Weights
from gpu_worker.recognizer import WindowRequest, WindowResult
from scripts.load.material import Utterance
from scripts.load.scoring import Interval, Normalise, Score, difference_interval, error_interval, error_rate, score

from .engine import load
from .stages import Stages

_MOST_SAMPLES = 29 * 16_000


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


def compare_encoders(
    found: Weights,
    utterances: Sequence[Utterance],
    normalise: Normalise,
    language: str | None,
    on_window: Callable[[int, int], None],
) -> list[Encoded]:
    """Encode and decode each utterance in all ways, in turn.

    Args:
        found: the weights.
        utterances: what is said; those over 29 s are left out.
        normalise: cuts text into the words that are compared.
        language: what is spoken.
        on_window: told how many of how many are done.
    """
    quick = cpu_precision(found.dims.n_audio_state)
    whole = EncoderSettings(tail=found.dims.n_audio_ctx)
    ways = {
        "full, fp32": load(found, EXACT, whole),
        f"full, {quick.encoder}": load(found, quick, whole),
        f"compacted, {quick.encoder}": load(found, quick),
    }
    spent: dict[str, dict[str, float]] = {name: {} for name in ways}
    scored: dict[str, list[Score]] = {name: [] for name in ways}
    chosen = [each for each in utterances if each.samples <= _MOST_SAMPLES]
    with Stages(time.process_time).watching() as stages:
        for done, utterance in enumerate(chosen):
            on_window(done, len(chosen))
            pcm = np.frombuffer(utterance.pcm, dtype="<i2")
            request = WindowRequest(0, pcm, 0, 0, language, "transcribe", (), (), (), reuse=False)
            for name, recognizer in ways.items():
                stages.spent = spent[name]
                [answer] = recognizer.recognize([request])
                if not isinstance(answer, WindowResult):
                    raise answer
                scored[name] += score([utterance.text], "".join(word.text for word in answer.words), normalise)
    full = next(iter(ways))
    return [
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
