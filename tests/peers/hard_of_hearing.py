"""Scripted recognizers that hear a voice where they find no word, or no voice in what is loud."""

from dataclasses import replace

import numpy as np

from gpu_worker.recognizer import VAD_FRAME, VadResult
from tests.scripted_recognizer import ScriptedRecognizer, say

UNHEARD = "shadow"
"""The word that `HardOfHearing` takes for a cough."""


class HardOfHearing(ScriptedRecognizer):
    """Hears that somebody speaks, and has no word for `UNHEARD`."""

    def transcribe(self, requests):
        """Read the words of each window without that one."""
        level = int(np.abs(say([UNHEARD]).pcm).max())
        return super().transcribe(
            [replace(each, pcm=np.where(np.abs(each.pcm) == level, 0, each.pcm).astype(np.int16)) for each in requests]
        )


class Hiding(ScriptedRecognizer):
    """Is so unsure of every word that the policy hides them."""

    def transcribe(self, requests):
        """Read the words, each with next to no probability."""
        return [
            replace(result, logprobs=(-2.0,) * len(result.logprobs), no_speech=0.9)
            for result in super().transcribe(requests)
        ]


class Looping(ScriptedRecognizer):
    """Says one word of each window, and that a loop was cut after it."""

    def transcribe(self, requests):
        """Read the words, and keep the first of the new ones."""
        return [
            replace(result, tokens=result.tokens[:1], logprobs=result.logprobs[:1], words=result.words[:1], looped=True)
            for result in super().transcribe(requests)
        ]


class Voiceless(ScriptedRecognizer):
    """Hears no voice in any audio."""

    def detect_speech(self, requests):
        """Find every frame unlikely to be speech."""
        return [VadResult((0.02,) * (len(request.pcm) // VAD_FRAME)) for request in requests]
