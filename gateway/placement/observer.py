"""Hands events to those who log, count and show them, after the fact (shell).

Observers get values, and an exception of theirs is logged and goes no further: nothing that they do changes a session.
"""

from collections.abc import Sequence
from typing import Protocol

from gateway.placement.events import Event
from shared import logs

log = logs.get("gateway")


class Observer(Protocol):
    """Takes events in the order in which they happened."""

    def observe(self, event: Event) -> None:
        """Note one event, or pass over it if it is of a kind of no interest here."""


class Observers:
    """Several observers; one that fails keeps nothing from the others."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def observe(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer.observe(event)
            except Exception:  # whatever it is: watching must change nothing
                log.exception("an observer failed", event_id="observer_failed", kind=type(event).__name__)
