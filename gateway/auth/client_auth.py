"""Core: who may open a session, with which parameters, and who may see how the server does.

The request's query and headers are checked by name.
"""

import base64
import binascii
import enum
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.errors import BadOriginError, BadParameterError, BadTokenError

SUBPROTOCOL = "whisperlive"
"""What a browser names beside its token, and what the server selects."""

_TOKEN_PREFIX = "token."  # noqa: S105 - the name of a subprotocol
_KNOWN = frozenset({"language", "token", "mode", "task", "encoding", "resume", "last_seq", "uid"})
_MODES = ("full", "events")
_TASKS = ("transcribe", "translate")
_MAX_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a client asks for.

    ``language`` None is to be detected (or is the model's only one); ``resume`` is the token of a session to go on
    with, ``last_seq`` the last message of it that the client has seen.
    """

    mode: str
    language: str | None
    task: str
    resume: str | None
    last_seq: int


def read_parameters(query: Mapping[str, str]) -> Parameters:
    """Check the query of ``/asr``.

    Raises:
        BadParameterError: a value (or a parameter) that we do not have; the message names it.
    """
    unknown = sorted(set(query) - _KNOWN)
    if unknown:
        raise BadParameterError(f"Unknown parameter {_brief(unknown[0])}; known are {', '.join(sorted(_KNOWN))}")
    mode = query.get("mode") or "full"
    if mode not in _MODES:
        raise BadParameterError(f"mode={_brief(mode)} is not supported; expected one of {', '.join(_MODES)}")
    task = query.get("task") or "transcribe"
    if task not in _TASKS:
        raise BadParameterError(f"task={_brief(task)} is not supported; expected one of {', '.join(_TASKS)}")
    encoding = query.get("encoding") or "pcm_s16le"
    if encoding not in ("pcm_s16le", "s16le"):
        raise BadParameterError(f"encoding={_brief(encoding)} is not supported; send pcm_s16le, 16 kHz, mono")
    language = (query.get("language") or "auto").lower()
    last_seq = query.get("last_seq") or "0"
    if not (last_seq.isascii() and last_seq.isdecimal() and len(last_seq) <= _MAX_DIGITS):
        raise BadParameterError(f"last_seq={_brief(last_seq)} is no number of a message")
    return Parameters(mode, None if language == "auto" else language, task, query.get("resume") or None, int(last_seq))


def check_language(parameters: Parameters, languages: Sequence[str], model: str) -> None:
    """Check the language and the task against what the model takes.

    Raises:
        BadParameterError: the model does not have that language, or does not translate.
    """
    if parameters.language is not None and parameters.language not in languages:
        have = (
            ", ".join(languages)
            if len(languages) <= 5
            else f"{len(languages)} languages by Whisper code, e.g. en, de, fr"
        )
        language = _brief(parameters.language)
        raise BadParameterError(f"language={language} is not one of the model {model}'s: it has {have}")
    if parameters.task == "translate" and len(languages) == 1:
        raise BadParameterError(f"task='translate' needs a multilingual model; {model} only transcribes {languages[0]}")


def bearer(headers: Mapping[str, str]) -> str | None:
    """Return the token in ``Authorization: Bearer``."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None


def client_token(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """Return the token a client brought: as Bearer, in a subprotocol, or in the query."""
    if token := bearer(headers):
        return token
    for offered in headers.get("sec-websocket-protocol", "").split(","):
        if offered.strip().startswith(_TOKEN_PREFIX):
            coded = offered.strip().removeprefix(_TOKEN_PREFIX)
            try:
                return base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
            except (binascii.Error, ValueError):
                return None
    return query.get("token") or None


def check_token(token: str | None, accepted: Sequence[str]) -> None:
    """Refuse a client without a valid token, if tokens are asked for at all.

    Raises:
        BadTokenError: the token is missing or wrong.
    """
    if not accepted:
        return
    if token is None:
        raise BadTokenError("A token is required")
    if not any(hmac.compare_digest(token.encode(), each.encode()) for each in accepted):
        raise BadTokenError("The token is not valid")


def check_origin(origin: str | None, host: str | None, allowed: Sequence[str]) -> None:
    """Refuse a browser page of another site; clients that are no browsers send no origin.

    Raises:
        BadOriginError: the page's origin is neither ours nor allowed.
    """
    if origin is None or "*" in allowed or origin.rstrip("/") in {each.rstrip("/") for each in allowed}:
        return
    own = f"//{host or '?'}".lower()
    if origin.lower() not in {f"http:{own}", f"https:{own}"}:
        raise BadOriginError(f"Pages of {_brief(origin)} may not connect here (see ALLOWED_ORIGINS)")


class Sight(enum.Enum):
    """What somebody who asks how the server does is shown."""

    NOTHING = "nothing"  # a token is asked for, and was not given
    FIGURES = "figures"  # counts and times, but no session's name
    ALL = "all"


def sight(token: str, offered: Sequence[str | None], *, private: bool) -> Sight:
    """Return what one request is shown.

    Args:
        token: the token that monitoring asks for; empty: none.
        offered: what the request brought, by whichever way.
        private: nobody but this machine (or its reverse proxy) could have asked.
    """
    if not token:
        return Sight.ALL if private else Sight.FIGURES
    good = (token, monitor_pass(token))
    # Each is compared with each, so that the time it takes tells nothing.
    matches = [hmac.compare_digest(each.encode(), one.encode()) for each in offered if each for one in good]
    return Sight.ALL if any(matches) else Sight.NOTHING


def monitor_pass(token: str) -> str:
    """Return what a browser keeps in place of the monitoring token: it opens monitoring, and tells nothing else."""
    return hmac.new(token.encode(), b"monitor", hashlib.sha256).hexdigest()


def is_loopback(address: str) -> bool:
    """Tell whether an address (or ``localhost``) is this machine's own."""
    if address.lower() == "localhost":
        return True
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def _brief(value: str) -> str:
    """Return what a client wrote as an error repeats it."""
    return repr(value if len(value) <= 40 else value[:39] + "…")
