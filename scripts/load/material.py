"""Put utterances together into streams, and know what is said in them (core)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from whisper_live_client.audio import BYTES_PER_SAMPLE, SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Utterance:
    """A recording: s16le samples at 16 kHz, mono, and what is said there.

    Attributes:
        words: each word and the second at which it ends; empty where nobody timed them.
    """

    id: str
    text: str
    words: tuple[tuple[str, float], ...]
    pcm: bytes = field(repr=False)

    @property
    def samples(self) -> int:
        """Its length."""
        return len(self.pcm) // BYTES_PER_SAMPLE


@dataclass(frozen=True, slots=True)
class Spacing:
    """The digital silence of a stream: before its first utterance, and between two."""

    lead_s: float
    gap_s: float


@dataclass(frozen=True, slots=True)
class Material:
    """What streams are made of: for each stream the utterances in it, and the silence between them."""

    name: str
    lists: tuple[tuple[Utterance, ...], ...]
    spacing: Spacing


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word of a stream; ``end_s`` is where it ends in the stream, None where nobody timed it."""

    text: str
    end_s: float | None


@dataclass(frozen=True, slots=True)
class Script:
    """What is said in a stream: the text of each utterance, and all words in order."""

    texts: tuple[str, ...]
    words: tuple[SpokenWord, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """Utterances at their places, in samples from the start; the stream ends with the last one."""

    utterances: tuple[Utterance, ...]
    starts: tuple[int, ...]

    @property
    def samples(self) -> int:
        """Its length."""
        return self.starts[-1] + self.utterances[-1].samples

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return self.samples / SAMPLE_RATE

    @property
    def key(self) -> tuple[str, ...]:
        """What is in it, in order: two streams of one material with the same key are the same."""
        return tuple(utterance.id for utterance in self.utterances)

    def pieces(self) -> Iterator[bytes]:
        """Yield the audio, silence included."""
        position = 0
        for start, utterance in zip(self.starts, self.utterances, strict=True):
            yield bytes((start - position) * BYTES_PER_SAMPLE)
            yield utterance.pcm
            position = start + utterance.samples

    def script(self, sent_samples: int) -> Script:
        """Return what is said in its first ``sent_samples``: of an utterance cut short, the words before the cut."""
        texts: list[str] = []
        words: list[SpokenWord] = []
        for start, utterance in zip(self.starts, self.utterances, strict=True):
            if start >= sent_samples:
                break
            start_s = start / SAMPLE_RATE
            timed = [SpokenWord(text, start_s + end_s) for text, end_s in utterance.words]
            if start + utterance.samples <= sent_samples:
                texts.append(utterance.text)
                words += timed or [SpokenWord(text, None) for text in utterance.text.split()]
                continue
            kept = [word for word in timed if word.end_s is not None and word.end_s * SAMPLE_RATE <= sent_samples]
            texts.append(" ".join(word.text for word in kept))
            words += kept
        return Script(tuple(texts), tuple(words))


def streams(material: Material, count: int, seconds: float | None) -> list[Stream]:
    """Make so many streams; where there are fewer lists than streams, a list comes again from its next utterance on.

    Args:
        material: the utterances and their spacing.
        count: how many streams.
        seconds: repeat the utterances until a stream is at least so long (it ends with a whole utterance);
            None plays each list once.

    Raises:
        ValueError: there is no audio to make them of.
    """
    made = []
    for number in range(count):
        turns, which = divmod(number, len(material.lists))
        utterances = material.lists[which]
        turn = turns % len(utterances)
        made.append(_compose(utterances[turn:] + utterances[:turn], material.spacing, seconds))
    return made


def _compose(utterances: Sequence[Utterance], spacing: Spacing, seconds: float | None) -> Stream:
    if not any(utterance.samples for utterance in utterances):
        raise ValueError("there is no audio in the material")
    wanted = round((seconds or 0.0) * SAMPLE_RATE)
    position = round(spacing.lead_s * SAMPLE_RATE)
    gap = round(spacing.gap_s * SAMPLE_RATE)
    placed: list[Utterance] = []
    starts: list[int] = []
    while not placed or position - gap < wanted:
        for utterance in utterances:
            placed.append(utterance)
            starts.append(position)
            position += utterance.samples + gap
            if seconds is not None and position - gap >= wanted:
                break
    return Stream(tuple(placed), tuple(starts))
