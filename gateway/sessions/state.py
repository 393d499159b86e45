"""Where a session stands, and where it can go from there."""

import enum


class State(enum.Enum):
    """Where a session stands."""

    WAITING = "waiting"  # has no lease; audio is kept
    OPENING = "opening"  # has a lease; the worker prepares
    READY = "ready"  # words flow
    FINISHING = "finishing"  # the audio has ended; the last words are awaited
    PARKED = "parked"  # the client's network dropped, all its audio is decoded: waits without a lease
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
SETTLED = frozenset({State.READY, State.FINISHING})
