"""The messages between gateway and workers, grouped by direction.

Every position is a sample index at 16 kHz from the start of the session. A *lease* is the number under which a
gateway granted a slot: it never comes again, so a message that carries an old one is recognised and dropped.
"""

from dataclasses import dataclass

SAMPLE_RATE = 16_000
PROTOCOL = 2
"""Version of this module's messages; a worker and a gateway of different versions refuse each other."""

STEP_BOUNDS_S = (0.03, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
BATCH_BOUNDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
"""The sizes by which a `Tally` of a heartbeat counts: seconds of a step, streams in one."""


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
    """A token that is decided and still inside the window, with the end sample of its word."""

    token: int
    end: int


@dataclass(frozen=True, slots=True)
class AudioAccounting:
    """What became of the samples before ``until``: each is counted once."""

    until: int
    transcribed: int
    silence: int


@dataclass(frozen=True, slots=True)
class ResumeState:
    """What another worker needs, beside the journal's audio, to go on with a session. Bounded.

    Attributes:
        window_start: first sample of the current window.
        speaking: whether the stream was inside an utterance.
        committed: tokens decided inside the window, a forced prefix of the next decode.
        draft: tokens of the last tail.
        language: the one to go on with, once words of a long window have settled it.
        books: the accounts up to ``keep_from``.
    """

    window_start: int
    speaking: bool
    committed: tuple[CommittedToken, ...]
    draft: tuple[int, ...]
    language: str | None
    books: AudioAccounting


@dataclass(frozen=True, slots=True)
class SlotReport:
    """One occupied slot as its worker sees it; ``ours`` if the gateway that is told leased it.

    ``received``: the stream has every sample before this one. ``decoded``: and has used every sample before this.
    """

    lease: int
    session: str
    ours: bool
    received: int
    decoded: int


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """A device's memory in bytes; ``None`` is unknown.

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
        counts: how many were at most as large as each bound and larger than the one before; the last count is of
            those larger than all bounds.
        sum: of all values.
    """

    counts: tuple[int, ...]
    sum: float


# --- gateway → worker ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome:
    """The gateway knows this worker's boot; sent after ``Register`` and after every heartbeat."""

    gateway: str


@dataclass(frozen=True, slots=True)
class Identify:
    """The gateway does not know the sender: register (again) and forget what this gateway had leased."""

    gateway: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """Keep a slot for a session that will move here, and get the weights ready; answered like `Open`."""

    lease: int
    session: str


@dataclass(frozen=True, slots=True)
class Open:
    """Take a session into a slot. ``start`` is the first sample that ``Audio`` will bring."""

    lease: int
    session: str
    language: str | None
    task: str
    start: int
    resume: ResumeState | None


@dataclass(frozen=True, slots=True)
class Audio:
    """Samples from ``start`` on. ``pcm`` is s16le mono and travels as its own frame."""

    lease: int
    start: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Finalize:
    """Commit everything said before sample ``at``, then go on."""

    lease: int
    at: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The audio ends at sample ``at``: decode it all, then answer ``Finished``."""

    lease: int
    at: int


@dataclass(frozen=True, slots=True)
class Close:
    """Forget the session and free its slot."""

    lease: int


ToWorker = Welcome | Identify | Prepare | Open | Audio | Finalize | Finish | Close


# --- worker → gateway ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Register:
    """A worker introduces one life of itself. ``languages`` are Whisper codes; one only for an ``.en`` model."""

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
    pid: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sent every quarter of a second by the loop that owns the socket.

    Attributes:
        state: ``serving`` or ``draining``.
        weights: ``host``, ``loading`` or ``device``.
        step_running_s: age of the step in progress, 0 if none.
        step_median_s: median length of recent steps.
        step_s: lengths of this boot's steps, by `STEP_BOUNDS_S`.
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
    """The session has its slot, and the weights are on the device; ``load_ms`` is what that took."""

    lease: int
    load_ms: float


@dataclass(frozen=True, slots=True)
class NoFreeSlot:
    """No slot is free here, whatever the gateway believed."""

    lease: int


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a step found out about one session.

    Attributes:
        words: newly committed words; they never change.
        tail: the text after them; it may change.
        tail_end: where the tail ends.
        closes: the segment ends after ``words`` (the end of an utterance or of a sentence).
        committed_until: end of the last committed word.
        keep_from: first sample that a later step may still need.
        decoded: every sample before this one has been used.
        language: the language in use, once known.
        resume: what another worker would need to go on from here.
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


@dataclass(frozen=True, slots=True)
class Finished:
    """Everything said is committed; the slot is free again. The books cover the whole session."""

    lease: int
    books: AudioAccounting


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """This session's recognition raised; its slot is free again, the others go on."""

    lease: int
    reason: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The worker leaves on purpose."""

    reason: str


ToGateway = Register | Heartbeat | Opened | NoFreeSlot | Hypothesis | Finished | StreamFailed | Goodbye
