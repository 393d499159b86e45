"""Core: notices loud audio without a voice, which most likely is no 16 kHz PCM."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from gpu_worker.recognizer import VAD_FRAME, Pcm
from shared.messages import SAMPLE_RATE

LOUD_RMS = 32_768 * 10 ** (-45 / 20)
"""A frame is loud above -45 dBFS: quiet rooms are below it, and so is their speech, which nobody calls garbage."""

LOUD_FRAMES = 20 * SAMPLE_RATE // VAD_FRAME
"""So much loud audio, 20 s, is judged: a song's intro or a siren is shorter."""

MOST_VOICED_FRAMES = LOUD_FRAMES // 20
"""Up to 5 % of it may be taken for a voice by mistake."""


class VoiceCheck:
    """Looks at the last 20 s of loud audio of one stream; quiet audio between is passed over.

    Attributes:
        no_voice: True from the moment when next to nothing in them was voice.
    """

    def __init__(self, voice_probability: float) -> None:
        self.no_voice = False
        self._voice_probability = voice_probability
        self._voiced: deque[bool] = deque()
        self._voiced_count = 0

    def update(self, pcm: Pcm, probabilities: Sequence[float]) -> None:
        """Take audio and the probability of speech in each of its frames; the last may be cut short."""
        if self.no_voice:
            return
        padded = np.pad(pcm, (0, len(probabilities) * VAD_FRAME - len(pcm))).reshape(-1, VAD_FRAME)
        loud = np.sqrt(np.mean(np.square(padded, dtype=np.float32), axis=1)) > LOUD_RMS
        for is_loud, probability in zip(loud, probabilities, strict=True):
            if is_loud:
                self._take(voiced=probability >= self._voice_probability)

    def _take(self, *, voiced: bool) -> None:
        self._voiced.append(voiced)
        self._voiced_count += voiced
        if len(self._voiced) > LOUD_FRAMES:
            self._voiced_count -= self._voiced.popleft()
        if len(self._voiced) == LOUD_FRAMES and self._voiced_count <= MOST_VOICED_FRAMES:
            self.no_voice = True
