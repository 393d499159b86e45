"""Tokens and origins: who may open a session, and what of the monitoring a request may see (core)."""

import base64
import binascii
import enum
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence

from shared.errors import BadOriginError, BadTokenError, brief

SUBPROTOCOL = "whisperlive"
"""The subprotocol that a browser offers beside its token, and that the server selects."""

_TOKEN_PREFIX = "token."  # noqa: S105 - the name of a subprotocol


def bearer(headers: Mapping[str, str]) -> str | None:
    """Return the token of an ``Authorization: Bearer`` header; None if there is none."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None


def client_token(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """Return a client's token, from the ``Authorization`` header, a subprotocol or the query; None if there is none."""
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
    """Refuse a client without an accepted token; with none accepted, every client may come in.

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
    """Refuse a page of another site. Only browsers send an origin: other clients are not checked.

    Raises:
        BadOriginError: the page is neither from this host nor from an allowed origin.
    """
    if origin is None or "*" in allowed or origin.rstrip("/") in {each.rstrip("/") for each in allowed}:
        return
    own = f"//{host or '?'}".lower()
    if origin.lower() not in {f"http:{own}", f"https:{own}"}:
        raise BadOriginError(f"Pages of {brief(origin)} may not connect here (see ALLOWED_ORIGINS)")


class MonitorAccess(enum.Enum):
    """How much of the monitoring a request may see."""

    DENIED = "nothing"  # a token is needed, and the request has none
    FIGURES = "figures"  # counts and times, but no session's id
    ALL = "all"


def access_for(token: str, offered: Sequence[str | None], *, private: bool) -> MonitorAccess:
    """Return how much of the monitoring a request may see.

    Args:
        token: the token that is needed; empty if none is.
        offered: the tokens of the request, from its headers, cookies and query.
        private: only this machine, or its reverse proxy, could have sent the request.
    """
    if not token:
        return MonitorAccess.ALL if private else MonitorAccess.FIGURES
    good = (token, monitor_cookie(token))
    # All are compared, whatever the first result is, so that the time it takes reveals nothing.
    matches = [hmac.compare_digest(each.encode(), one.encode()) for each in offered if each for one in good]
    return MonitorAccess.ALL if any(matches) else MonitorAccess.DENIED


def monitor_cookie(token: str) -> str:
    """Return the cookie that a browser keeps in place of the monitoring token, which it does not reveal."""
    return hmac.new(token.encode(), b"monitor", hashlib.sha256).hexdigest()


def is_loopback(address: str) -> bool:
    """Return True for ``localhost`` and the addresses by which a machine reaches itself."""
    if address.lower() == "localhost":
        return True
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback
