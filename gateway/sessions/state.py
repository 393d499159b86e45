"""The states of a session, and the transitions between them."""

import enum


class State(enum.Enum):
    """A session's state; its value is the word in metrics and JSON."""

    WAITING = "waiting"  # for a slot; audio is kept meanwhile
    OPENING = "opening"  # has a lease; the worker is not ready yet
    READY = "ready"  # the worker decodes
    FINISHING = "finishing"  # the audio has ended; the last words are still to come
    PARKED = "parked"  # without a lease: the client is away, and everything that it sent is decoded
    ENDED = "ended"


NEXT: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.OPENING, State.PARKED, State.ENDED}),
    State.OPENING: frozenset({State.READY, State.FINISHING, State.WAITING, State.ENDED}),
    State.READY: frozenset({State.FINISHING, State.OPENING, State.WAITING, State.PARKED, State.ENDED}),
    State.FINISHING: frozenset({State.OPENING, State.WAITING, State.ENDED}),
    State.PARKED: frozenset({State.WAITING, State.ENDED}),
    State.ENDED: frozenset(),
}

LEASED = frozenset({State.OPENING, State.READY, State.FINISHING})
"""The states in which a session has a lease."""

SETTLED = frozenset({State.READY, State.FINISHING})
"""The states in which its worker has opened the stream."""


class IllegalTransitionError(RuntimeError):
    """A session was about to enter a state that cannot follow its present one: a bug."""
