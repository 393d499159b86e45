"""What waits for one client's socket: messages that must arrive, and states of which only the newest counts."""

from collections.abc import Callable
from dataclasses import dataclass
from json import dumps
from typing import Any

JsonObject = dict[str, Any]


@dataclass(slots=True)
class _Offer:
    name: str
    render: Callable[[], JsonObject]


@dataclass(slots=True)
class _Posted:
    message: JsonObject
    sent: Callable[[int], None] | None


class Outbox:
    """A client's queue. Posted messages keep their order and are never dropped; offers replace each other.

    An offer keeps the place of its name's unsent one unless something was posted since, so that a state never
    overtakes what came before it.
    A slow reader therefore gets every posted message and the last state. Offers are also held back so that they
    stay below ``bytes_per_s`` on average: long transcripts are repeated less often.

    Args:
        numbered: stamp each message with an increasing ``seq``.
        bytes_per_s: average bound on offered states.
        max_posted: bound on posted messages that wait; past it `overflowing` is true.
    """

    def __init__(self, *, numbered: bool, bytes_per_s: float = 64_000.0, max_posted: int = 10_000) -> None:
        self._queue: list[_Posted | _Offer] = []
        self._numbered = numbered
        self._seq = 0
        self._bytes_per_s = bytes_per_s
        self._next_offer_at = 0.0
        self._max_posted = max_posted

    def post(self, message: JsonObject, sent: Callable[[int], None] | None = None) -> None:
        """Queue a message that must arrive; ``sent`` is told its ``seq`` when it goes out."""
        self._queue.append(_Posted(message, sent))

    def clear(self) -> None:
        """Forget everything unsent; numbering goes on."""
        self._queue.clear()

    def offer(self, name: str, render: Callable[[], JsonObject]) -> None:
        """Queue a state, rendered when it is sent; it takes the place of an unsent one of the same name."""
        for index, item in enumerate(self._queue):
            if isinstance(item, _Offer) and item.name == name:
                if all(isinstance(later, _Offer) for later in self._queue[index + 1 :]):
                    item.render = render
                    return
                del self._queue[index]
                break
        self._queue.append(_Offer(name, render))

    def withdraw(self, name: str) -> None:
        """Forget an unsent offer."""
        self._queue = [item for item in self._queue if not (isinstance(item, _Offer) and item.name == name)]

    @property
    def overflowing(self) -> bool:
        """Tell whether the client has left more messages unread than the bound."""
        return len(self._queue) > self._max_posted

    @property
    def waiting(self) -> int:
        """Return how many messages have not been sent yet."""
        return len(self._queue)

    def wait_s(self, now: float) -> float | None:
        """Return how long until `pop` has something: 0 for now, None for nothing queued."""
        if not self._queue:
            return None
        if self._posted_ready():
            return 0.0
        return max(0.0, self._next_offer_at - now)

    def pop(self, now: float) -> str | None:
        """Return the next message as JSON text, or None if nothing may be sent now."""
        if not self._queue or (not self._posted_ready() and now < self._next_offer_at):
            return None
        item = self._queue.pop(0)
        message = item.render() if isinstance(item, _Offer) else item.message
        self._seq += 1
        if isinstance(item, _Posted) and item.sent is not None:
            item.sent(self._seq)
        if self._numbered:
            message = {**message, "seq": self._seq}
        text = dumps(message, ensure_ascii=False, separators=(",", ":"))
        if isinstance(item, _Offer):
            self._next_offer_at = max(now, self._next_offer_at) + len(text.encode()) / self._bytes_per_s
        return text

    def _posted_ready(self) -> bool:
        """A posted message behind held-back offers must not wait for them: they go out with it."""
        return any(isinstance(item, _Posted) for item in self._queue)
