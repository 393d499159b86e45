"""What waits to be sent to one client: messages that must arrive, and states of which only the newest counts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Frame = str | bytes
"""One WebSocket message: text or binary."""

M = TypeVar("M")


@dataclass(slots=True)
class _Latest(Generic[M]):
    name: str
    render: Callable[[], M]


@dataclass(slots=True)
class _Queued(Generic[M]):
    message: M
    sent: Callable[[int], None] | None


class SendQueue(Generic[M]):
    """The queue of one client.

    Messages (`enqueue`) keep their order and are never dropped. A state (`enqueue_latest`) replaces the unsent one of
    its name, and takes its place in the queue unless a message was added since: a state never overtakes a message that
    came before it. A client that reads slowly therefore gets every message, and the last of each state.

    States are also held back so that they stay below ``bytes_per_s`` on average: a long transcript, which each state
    repeats, is sent less often.

    Args:
        encode: makes a WebSocket message of a message and its number; numbers count from 1.
        bytes_per_s: bound on the average rate of states.
        max_posted: bound on the length of the queue; above it `overflowing` is True.
    """

    def __init__(
        self, encode: Callable[[M, int], Frame], *, bytes_per_s: float = 64_000.0, max_posted: int = 10_000
    ) -> None:
        self._queue: list[_Queued[M] | _Latest[M]] = []
        self._encode = encode
        self._seq = 0
        self._bytes_per_s = bytes_per_s
        self._next_state_at = 0.0
        self._max_posted = max_posted

    def enqueue(self, message: M, sent: Callable[[int], None] | None = None) -> None:
        """Add a message that must arrive; ``sent`` is called with its number when it goes out."""
        self._queue.append(_Queued(message, sent))

    def clear(self) -> None:
        """Drop everything unsent; numbering goes on."""
        self._queue.clear()

    def enqueue_latest(self, name: str, render: Callable[[], M]) -> None:
        """Add or replace the state of this name; ``render`` is called when it is sent."""
        for index, item in enumerate(self._queue):
            if isinstance(item, _Latest) and item.name == name:
                if all(isinstance(later, _Latest) for later in self._queue[index + 1 :]):
                    item.render = render
                    return
                del self._queue[index]
                break
        self._queue.append(_Latest(name, render))

    def discard(self, name: str) -> None:
        """Drop the unsent state of this name."""
        self._queue = [item for item in self._queue if not (isinstance(item, _Latest) and item.name == name)]

    @property
    def overflowing(self) -> bool:
        """Return True if the client has left too much unread."""
        return len(self._queue) > self._max_posted

    @property
    def waiting(self) -> int:
        """Return how many messages and states are unsent."""
        return len(self._queue)

    def wait_s(self, now: float) -> float | None:
        """Return how long until `pop` returns something; None if nothing is queued."""
        if not self._queue:
            return None
        if self._has_message():
            return 0.0
        return max(0.0, self._next_state_at - now)

    def pop(self, now: float) -> Frame | None:
        """Take the next message or state and return it as a frame; None if nothing may be sent now."""
        if not self._queue or (not self._has_message() and now < self._next_state_at):
            return None
        item = self._queue.pop(0)
        message = item.render() if isinstance(item, _Latest) else item.message
        self._seq += 1
        if isinstance(item, _Queued) and item.sent is not None:
            item.sent(self._seq)
        frame = self._encode(message, self._seq)
        if isinstance(item, _Latest):
            size_bytes = len(frame.encode() if isinstance(frame, str) else frame)
            self._next_state_at = max(now, self._next_state_at) + size_bytes / self._bytes_per_s
        return frame

    def _has_message(self) -> bool:
        # A message must not wait behind states that are held back: they are sent with it, at once.
        return any(isinstance(item, _Queued) for item in self._queue)
