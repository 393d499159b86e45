"""Tells what happens, after the fact, to those who log, count and show it (shell).

Nothing that an observer does, or fails to do, changes a session: it is told by values, and an exception of one is
logged and stops there.
"""

from collections.abc import Sequence
from typing import Protocol

from gateway.placement.events import Event
from shared import logs

log = logs.get("gateway")


class Observer(Protocol):
    """Takes note of events, in the order in which they happened."""

    def observe(self, event: Event) -> None:
        """Take note of one event; those of other kinds than it cares for are passed over."""


class Observers:
    """Tells each of several observers; one that fails keeps nothing from the others."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def observe(self, event: Event) -> None:
        """Tell every observer of an event."""
        for observer in self._observers:
            try:
                observer.observe(event)
            except Exception:  # whatever it is: watching must change nothing
                log.exception("an observer failed", event_id="observer_failed", kind=type(event).__name__)
