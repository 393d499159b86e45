"""Builds messages and bounds with plain values, so that a test names only what it is about."""

from dataclasses import fields

from gateway.placement.events import SessionClosed, SessionReady
from gateway.sessions.commands import SessionAccounting, SessionLimits
from shared import messages as m
from shared.histogram import Histogram

S = m.SAMPLE_RATE
"""One second, in samples."""

GIB = 2**30


def bounds(**changes) -> SessionLimits:
    """Return wide bounds, some of them changed."""
    return SessionLimits(**({f.name: 1000.0 for f in fields(SessionLimits)} | {"journal_s": 60.0} | changes))


def register(gpu_id=0, *, boot="a", slots=4, protocol=m.PROTOCOL, languages=("en", "fr"), **changes) -> m.Register:
    """Return a worker's introduction."""
    plain = {"protocol": protocol, "worker": f"gpu{gpu_id}", "boot": boot, "gpu_id": gpu_id, "gpu_uuid": None}
    plain |= {"slots": slots, "device": "cpu", "device_name": "scripted", "model": "scripted"}
    return m.Register(**(plain | {"languages": languages, "translates": len(languages) > 1, "pid": 1} | changes))


def tally(bounds, *values) -> m.HistogramCounts:
    """Return a worker's count of these values."""
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    return histogram.tally()


def heartbeat(
    *slots, state="serving", weights="device", running_s=0.0, median_s=0.1, memory=None, step_s=(0.1,), batches=(1,)
) -> m.Heartbeat:
    """Return a heartbeat that reports ``slots``, and steps of these lengths and batch sizes."""
    return m.Heartbeat(
        state=state,
        weights=weights,
        slots=slots,
        memory=memory or m.MemoryReport(None, None, None, None, None),
        steps=len(step_s),
        step_running_s=running_s,
        step_median_s=median_s,
        step_s=tally(m.STEP_BOUNDS_S, *step_s),
        batches=tally(m.BATCH_BOUNDS, *batches),
    )


def books(until=0, transcribed=None, silence=0) -> m.AudioAccounting:
    """Return accounts, of transcribed audio alone if nothing else is said."""
    return m.AudioAccounting(until, until - silence if transcribed is None else transcribed, silence)


def resume(until=0, window_start=None, committed=(), language="en") -> m.ResumeState:
    """Return a resume state at a position."""
    return m.ResumeState(
        window_start=until if window_start is None else window_start,
        speaking=bool(committed),
        committed=committed,
        draft=(),
        language=language,
        accounting=books(until),
    )


def word(text, start_s=0.0, end_s=None, probability=0.9) -> m.Word:
    """Return a word said from ``start_s`` to ``end_s``."""
    return m.Word(text, round(start_s * S), round((start_s + 0.25 if end_s is None else end_s) * S), probability)


def hypothesis(
    *words, lease=1, tail="", tail_end=0, closes=False, keep_from=0, decoded=None, **changes
) -> m.Hypothesis:
    """Return a step's result; its positions follow from the words unless they are given."""
    end = words[-1].end if words else 0
    plain = {
        "lease": lease,
        "words": words,
        "tail": tail,
        "tail_end": max(tail_end, end),
        "closes": closes,
        "committed_until": max(end, keep_from),
        "keep_from": keep_from,
        "decoded": max(end, keep_from) if decoded is None else decoded,
        "language": "en",
        "resume": resume(keep_from),
    }
    return m.Hypothesis(**(plain | changes))


def ready(accept_ms, allocate_ms, load_ms, total_ms, gpu_id=0, now=0.0) -> SessionReady:
    """Return the event of a session that became ready."""
    return SessionReady("a", gpu_id, accept_ms, allocate_ms, load_ms, total_ms, load_ms, now)


def closed(connection="a", outcome="complete", accounting=None, **changes) -> SessionClosed:
    """Return the event of a session that has ended."""
    plain = {"was_ready": True, "duration_s": 45.25, "audio_messages": 892, "text_updates": 235, "words": 10}
    plain |= {"migrations": 0, "gpu_id": 0, "close_code": 1000, "at": 1.0}
    accounting = accounting or SessionAccounting(0, 0, 0, 0, None)
    return SessionClosed(connection=connection, outcome=outcome, accounting=accounting, **(plain | changes))
