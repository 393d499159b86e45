"""The messages between gateway and workers, grouped by direction.

Every position is a sample index at 16 kHz from the start of the session. A *lease* is the number under which a
gateway granted a slot. Numbers are never used again, so a message about a lease that has ended is recognised as such.
"""

from dataclasses import dataclass

SAMPLE_RATE = 16_000
PROTOCOL = 3
"""Version of this module's messages; a worker and a gateway of different versions refuse each other."""

STEP_BOUNDS_S = (0.03, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
BATCH_BOUNDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
"""The bounds of the `HistogramCounts` in a heartbeat: seconds of a step, streams in a step."""


# --- parts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Word:
    """One committed word.

    Attributes:
        text: the word as the tokenizer spells it, leading space and punctuation included.
        start: first sample.
        end: sample after the last.
        probability: mean probability of its tokens, 0 to 1.
    """

    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True, slots=True)
class CommittedToken:
    """A committed token inside the window, with the end sample of its word."""

    token: int
    end: int


@dataclass(frozen=True, slots=True)
class AudioAccounting:
    """What became of the samples before ``until``; each is counted once.

    Attributes:
        until: the end of what is counted.
        transcribed: samples in the window of a decode, without those that are unclear.
        silence: samples without speech.
        unclear: samples that were heard as speech, and brought no word.
    """

    until: int
    transcribed: int
    silence: int
    unclear: int = 0


@dataclass(frozen=True, slots=True)
class UnclearSpeech:
    """A stretch that was heard as speech, and brought no word.

    Attributes:
        start: first sample.
        end: sample after the last.
        cause: a word for the log: ``no_words``, ``hidden``, ``repetition``, ``uncovered`` or ``not_decoded``.
    """

    start: int
    end: int
    cause: str


@dataclass(frozen=True, slots=True)
class ResumeState:
    """What another worker needs to go on with a session, beside the audio in the journal. Its size is bounded.

    Attributes:
        window_start: first sample of the current window.
        speaking: whether the stream was inside an utterance.
        committed: tokens committed inside the window, a forced prefix of the next decode.
        draft: tokens of the last tail.
        language: the one to go on with, once the words of a long window have settled it.
        accounting: the accounting up to ``keep_from``.
        unclear: the stretches of unclear speech after ``keep_from`` that a hypothesis has told.
    """

    window_start: int
    speaking: bool
    committed: tuple[CommittedToken, ...]
    draft: tuple[int, ...]
    language: str | None
    accounting: AudioAccounting
    unclear: tuple[UnclearSpeech, ...] = ()


@dataclass(frozen=True, slots=True)
class SlotReport:
    """One occupied slot, as its worker sees it.

    Attributes:
        ours: True if the gateway that gets the report has leased it.
        received: the stream has every sample before this one.
        decoded: the stream has used every sample before this one.
    """

    lease: int
    session: str
    ours: bool
    received: int
    decoded: int


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """A device's memory in bytes; None is unknown.

    On CUDA the figures are the device's own. On the CPU ``allocated`` is the worker's private memory and
    ``total`` the machine's (or its control group's).
    """

    total: int | None
    allocated: int | None
    free: int | None
    available: int | None
    utilization_percent: float | None


@dataclass(frozen=True, slots=True)
class HistogramCounts:
    """Values counted by size since the sender's start.

    Attributes:
        counts: for each bound, how many values were at most as large and larger than the bound before; one more
            count is of the values larger than all bounds.
        sum: of all values.
    """

    counts: tuple[int, ...]
    sum: float


# --- gateway → worker ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome:
    """The gateway knows the worker; the answer to ``Register`` and to every heartbeat."""

    gateway: str


@dataclass(frozen=True, slots=True)
class Identify:
    """The gateway does not know the worker: it must free what this gateway had leased, and register."""

    gateway: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """Keep a slot for a session that will be migrated to it, and load the weights; answered like `Open`."""

    lease: int
    session: str


@dataclass(frozen=True, slots=True)
class Open:
    """Open a stream for a session; ``start`` is the first sample that ``Audio`` will bring."""

    lease: int
    session: str
    language: str | None
    task: str
    start: int
    resume: ResumeState | None


@dataclass(frozen=True, slots=True)
class Audio:
    """Samples from ``start`` on; ``pcm`` is s16le mono, and a frame of its own."""

    lease: int
    start: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Finalize:
    """Commit the audio before sample ``at``, then go on.

    Attributes:
        at: the position.
        paused: True if no audio has followed for a while. Else an utterance that has only begun is closed a little
            later: of so little speech Whisper makes words that were not said.
    """

    lease: int
    at: int
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """Decode and commit the audio up to sample ``at``, where it ends, then answer ``Finished``."""

    lease: int
    at: int


@dataclass(frozen=True, slots=True)
class Close:
    """Drop the stream and free the slot."""

    lease: int


ToWorker = Welcome | Identify | Prepare | Open | Audio | Finalize | Finish | Close


# --- worker → gateway ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Register:
    """One boot of a worker is ready to serve; ``languages`` are Whisper codes, only one for an ``.en`` model.

    ``translates`` is True if the model was trained to translate into English.
    """

    protocol: int
    worker: str
    boot: str
    gpu_id: int
    gpu_uuid: str | None
    slots: int
    device: str
    device_name: str
    model: str
    languages: tuple[str, ...]
    translates: bool
    pid: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The state of a worker, sent every quarter of a second.

    Attributes:
        state: ``serving`` or ``draining``.
        weights: ``host``, ``loading`` or ``device``.
        step_running_s: age of the step in progress, 0 if none.
        step_median_s: median length of recent steps.
        steps: how many this boot has done.
        step_s: their lengths, by `STEP_BOUNDS_S`.
        batches: how many streams each of them decoded, by `BATCH_BOUNDS`.
    """

    state: str
    weights: str
    slots: tuple[SlotReport, ...]
    memory: MemoryReport
    steps: int
    step_running_s: float
    step_median_s: float
    step_s: HistogramCounts
    batches: HistogramCounts


@dataclass(frozen=True, slots=True)
class Opened:
    """The slot is ready, and the weights are on the device; ``load_ms`` is how long that took."""

    lease: int
    load_ms: float


@dataclass(frozen=True, slots=True)
class NoFreeSlot:
    """The worker has no free slot for an `Open` or a `Prepare`."""

    lease: int


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The result of a recognition step for one session.

    Attributes:
        words: newly committed words, which never change.
        tail: the text after them, which may change.
        tail_end: where the tail ends.
        closes: True if the segment ends after ``words``: the end of an utterance or a sentence.
        committed_until: end of the last committed word.
        keep_from: first sample that a later step may still need.
        decoded: every sample before this one has been used.
        language: the one in use; None while it is unknown.
        resume: what another worker would need to go on from here.
        unclear: the stretches that were found to be unclear speech since the last hypothesis.
        no_voice: whether this worker has heard much loud audio with next to no voice in it.
    """

    lease: int
    words: tuple[Word, ...]
    tail: str
    tail_end: int
    closes: bool
    committed_until: int
    keep_from: int
    decoded: int
    language: str | None
    resume: ResumeState
    unclear: tuple[UnclearSpeech, ...] = ()
    no_voice: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """All audio is decoded and committed, and the slot is free again; ``accounting`` covers the whole session."""

    lease: int
    accounting: AudioAccounting


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """The recognition of this session raised an error; its slot is free again, and other sessions go on."""

    lease: int
    reason: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The worker stops on purpose; ``reason`` is for the log."""

    reason: str


ToGateway = Register | Heartbeat | Opened | NoFreeSlot | Hypothesis | Finished | StreamFailed | Goodbye
