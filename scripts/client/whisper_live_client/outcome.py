"""Decide how a session ended, and which exit code says so."""

import enum
from dataclasses import dataclass

from .audio import duration_s
from .transcript import Transcript

_REFUSED_HTTP = {503}
_FORBIDDEN_HTTP = {401, 403}
_REFUSED_CLOSE = 1013
_BAD_REQUEST_CLOSE = {4400, 4401, 4403}
_CLOSE_WORDS = {
    1001: "the server went away",
    1006: "the connection broke",
    1009: "a message was too big",
    1011: "the server failed",
    1012: "the server is restarting",
    1013: "the server has no room",
    4400: "the server refused a parameter",
    4401: "the server refused the token",
    4403: "the server refused the origin",
    4408: "the session was idle or open for too long",
    4409: "another connection took the session over",
    4415: "the server does not understand this audio",
}


class Exit(enum.IntEnum):
    COMPLETE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    DENIED = 4
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Outcome:
    exit_code: Exit
    sentence: str = ""


def of_http_status(status: int | None, sentence: str) -> Outcome:
    if status in _REFUSED_HTTP:
        return Outcome(Exit.REFUSED, sentence)
    return Outcome(Exit.DENIED if status in _FORBIDDEN_HTTP else Exit.FAILED, sentence)


def of_session(transcript: Transcript, close_code: int | None, problem: str | None) -> Outcome:
    """Judge a session that is over; ``problem`` is why the client gave up, ``close_code`` None if it closes now."""
    error = _errors(transcript)
    if close_code in _BAD_REQUEST_CLOSE:
        return Outcome(Exit.DENIED, error or _CLOSE_WORDS[close_code])
    if close_code == _REFUSED_CLOSE and transcript.ready_s is None:
        return Outcome(Exit.REFUSED, error or _CLOSE_WORDS[close_code])
    if error or problem:
        return Outcome(Exit.FAILED, error or problem or "")
    if not transcript.complete:
        reason = _CLOSE_WORDS.get(close_code or 1006, f"the connection was closed ({close_code})")
        return Outcome(Exit.FAILED, f"{reason} before everything was said")
    return _check_accounting(transcript)


def _check_accounting(transcript: Transcript) -> Outcome:
    accounting = transcript.accounting
    # A server that lost a session knows nothing of what that one had made final.
    received = transcript.first_sample + accounting.received if accounting else None
    if received is not None and received != transcript.sent_samples:
        sentence = f"the server received {received} samples, {transcript.sent_samples} were sent"
        return Outcome(Exit.FAILED, sentence)
    if transcript.lost_samples:
        sentence = f"{duration_s(transcript.lost_samples):.1f} s of audio could not be sent again"
        return Outcome(Exit.COMPLETE, sentence)
    if accounting and accounting.dropped:
        return Outcome(Exit.COMPLETE, f"the server dropped {duration_s(accounting.dropped):.1f} s of audio")
    return Outcome(Exit.COMPLETE)


def _errors(transcript: Transcript) -> str:
    sentences = []
    for error in transcript.errors:
        retry = f" (try again in {error.retry_after_s:g} s)" if error.retry_after_s else ""
        sentences.append((error.error or error.code or "an error without a text") + retry)
    return "; ".join(dict.fromkeys(sentences))
