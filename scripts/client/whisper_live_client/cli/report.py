"""Say what a session came to: its accounting, its timing figures."""

from collections.abc import Callable
from dataclasses import asdict
from statistics import median

from whisper_live_client.audio import duration_s
from whisper_live_client.outcome import Exit, Outcome
from whisper_live_client.segment import Word
from whisper_live_client.transcript import Transcript


def about(transcript: Transcript, outcome: Outcome, *, paced: bool) -> dict[str, object]:
    config, accounting, before = transcript.config, transcript.accounting, transcript.first_sample
    languages = [segment.language for segment in transcript.segments.values() if segment.language]
    return {
        "language": max(set(languages), key=languages.count) if languages else None,
        "complete": transcript.complete and outcome.exit_code is Exit.COMPLETE,
        "problem": outcome.sentence or None,
        "not_committed": transcript.tail or None,
        "session": (config and config.session) or None,
        "model": (config and config.model) or None,
        "device": (config and config.device) or None,
        "audio": {
            "sent_samples": transcript.sent_samples,
            "received_samples": accounting and before + accounting.received,
            # The accounting of a session that its server lost is lost with it.
            "transcribed_samples": None if before else accounting and accounting.transcribed,
            "silence_samples": None if before else accounting and accounting.silence,
            "unclear_samples": None if before else accounting and accounting.unclear,
            "dropped_samples": None if before else accounting and accounting.dropped,
        },
        "connections_lost": transcript.disconnects,
        "timing": timing(transcript, paced=paced),
    }


def timing(transcript: Transcript, *, paced: bool) -> dict[str, float | None]:
    """Collect the timing figures in seconds; a lag needs audio that was sent at its own pace."""
    shown = _median_lag_s(transcript, lambda word: word.shown_s) if paced else None
    committed = _median_lag_s(transcript, lambda word: word.committed_s) if paced else None
    return {
        "ready_s": _between(transcript.opened_s, transcript.ready_s),
        "first_word_s": _between(transcript.first_audio_s, transcript.first_word_s),
        "word_shown_median_s": shown,
        "word_committed_median_s": committed,
        "flush_s": _between(transcript.ended_s, transcript.done_s),
    }


def verbose_lines(transcript: Transcript, *, paced: bool) -> list[str]:
    lines = []
    if config := transcript.config:
        served_by = f": {config.model} on {config.device}" if config.model else ""
        lines.append(f"session {config.session}{served_by}")
    if accounting := transcript.accounting:
        figures = ", ".join(f"{name} {duration_s(samples):.2f} s" for name, samples in asdict(accounting).items())
        before_s = duration_s(transcript.first_sample)
        before = f"made final by a session before {before_s:.2f} s, " if before_s else ""
        lines.append(f"audio: sent {duration_s(transcript.sent_samples):.2f} s, {before}{figures}")
    if transcript.disconnects:
        lines.append(f"connections lost: {transcript.disconnects}")
    words = {
        "ready_s": "ready after",
        "first_word_s": "first word after",
        "word_shown_median_s": "words shown after (median)",
        "word_committed_median_s": "words committed after (median)",
        "flush_s": "flush took",
    }
    figures_s = timing(transcript, paced=paced)
    lines += [f"{text} {figures_s[key]:.2f} s" for key, text in words.items() if figures_s[key] is not None]
    lines += [f"protocol: {violation}" for violation in transcript.violations]
    return lines


def _median_lag_s(transcript: Transcript, when_s: Callable[[Word], float | None]) -> float | None:
    """Return the median time from a word's last sample leaving here to a moment of that word."""
    lags_s = []
    for word in transcript.words:
        moment_s = when_s(word)
        spoken_s = None if word.end_s is None else transcript.sent_at_s(word.end_s)
        if moment_s is not None and spoken_s is not None:
            lags_s.append(moment_s - spoken_s)
    return round(median(lags_s), 3) if lags_s else None


def _between(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else round(end_s - start_s, 3)
