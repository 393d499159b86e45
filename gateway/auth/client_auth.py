"""Core: who may open a session, and who may see how the server does."""

import base64
import binascii
import enum
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence

from shared.errors import BadOriginError, BadTokenError, brief

SUBPROTOCOL = "whisperlive"
"""What a browser names beside its token, and what the server selects."""

_TOKEN_PREFIX = "token."  # noqa: S105 - the name of a subprotocol


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
        raise BadOriginError(f"Pages of {brief(origin)} may not connect here (see ALLOWED_ORIGINS)")


class MonitorAccess(enum.Enum):
    """What somebody who asks how the server does is shown."""

    DENIED = "nothing"  # a token is asked for, and was not given
    FIGURES = "figures"  # counts and times, but no session's name
    ALL = "all"


def access_for(token: str, offered: Sequence[str | None], *, private: bool) -> MonitorAccess:
    """Return what one request is shown.

    Args:
        token: the token that monitoring asks for; empty: none.
        offered: what the request brought, by whichever way.
        private: nobody but this machine (or its reverse proxy) could have asked.
    """
    if not token:
        return MonitorAccess.ALL if private else MonitorAccess.FIGURES
    good = (token, monitor_cookie(token))
    # Each is compared with each, so that the time it takes tells nothing.
    matches = [hmac.compare_digest(each.encode(), one.encode()) for each in offered if each for one in good]
    return MonitorAccess.ALL if any(matches) else MonitorAccess.DENIED


def monitor_cookie(token: str) -> str:
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
