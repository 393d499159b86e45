"""How long after they were said words were shown and committed, and how many changed (core)."""

import re
from dataclasses import dataclass, field

from whisper_live_client.events import Final, Partial
from whisper_live_client.transcript import Transcript

from scripts.tools.corpus import SpokenWord
from scripts.tools.word_timing import ChangeCounter, word_times

from .samples import Sample, Transcription

_WORD = re.compile(r"[\w']+")


@dataclass(slots=True)
class Latencies:
    """Seconds from each word's end to when it was on the screen to stay, and to when it could change no more.

    Words that were on the screen and then changed or vanished are counted, the newest one of a tail aside.
    """

    shown: list[float] = field(default_factory=list)
    committed: list[float] = field(default_factory=list)
    changed: int = 0
    heard: int = 0

    def add(self, sample: Sample, result: Transcription) -> None:
        transcript, changes = Transcript(0.0), ChangeCounter()
        reached = 0
        for number, update in enumerate(result.updates):
            # What each update commits is a segment of its own: a long one would cost more with each of them.
            committed = "".join(word.text for word in result.words[reached : update.committed])
            reached = update.committed
            transcript.fold(Final(None, number, committed, arrived_s=update.now_s))
            transcript.fold(Partial(None, number + 1, "", update.tail, arrived_s=update.now_s))
            changes.observe(transcript)
        self.changed += changes.changed
        self.heard += len(_words(result.text))
        spoken = [SpokenWord(word, end_s) for word, end_s in sample.words]
        for time in word_times(spoken, transcript.words, lambda position_s: position_s, _words):
            self.shown.append(time.shown_s)
            if time.committed_s is not None:
                self.committed.append(time.committed_s)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
