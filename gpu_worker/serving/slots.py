"""The worker's slots: the session in each, and the order in which they are served."""

from dataclasses import dataclass

from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognition.stream import Stream
from shared.messages import Open, Prepare, SlotReport


@dataclass(slots=True)
class Slot:
    """One session's place.

    Attributes:
        gateway: index of the gateway that leased it.
        requested_at: when its gateway asked for it.
        announced: whether its gateway has been told that it is ready.
        opened: whether its stream is open in the model.
    """

    gateway: int
    session: str
    stream: Stream
    requested_at: float
    announced: bool = False
    opened: bool = False


@dataclass(slots=True)
class Reservation:
    """A slot reserved for a session that will move here."""

    session: str
    requested_at: float
    announced: bool = False


class SlotTable:
    """At most ``size`` streams and reservations, found by lease or by key.

    Args:
        size: the most sessions served at once.
        policy: the streams' settings.
    """

    def __init__(self, size: int, policy: PolicySettings) -> None:
        self.size = size
        self._policy = policy
        self._slots: dict[int, Slot] = {}
        self._reserved: dict[tuple[int, int], Reservation] = {}
        self._keys = 0

    def __len__(self) -> int:
        return len(self._slots) + len(self._reserved)

    def reserve(self, gateway: int, message: Prepare, now: float) -> bool:
        """Reserve a slot for a session; return False if every slot is taken."""
        if len(self) >= self.size:
            return False
        self._reserved[gateway, message.lease] = Reservation(message.session, now)
        return True

    def unannounced(self) -> list[tuple[int, int, Reservation]]:
        """Return gateway, lease and reservation where the gateway has not been told that the slot is ready."""
        return [
            (gateway, lease, reservation)
            for (gateway, lease), reservation in self._reserved.items()
            if not reservation.announced
        ]

    def cancel(self, gateway: int, lease: int | None = None) -> None:
        """Cancel one reservation of a gateway, or all of them."""
        gone = [key for key in self._reserved if key[0] == gateway and lease in (None, key[1])]
        for key in gone:
            del self._reserved[key]

    def open(self, gateway: int, message: Open, now: float) -> int | None:
        """Give a session a slot and return its key, None if every slot is taken.

        Raises:
            ValueError: the message contradicts itself (see `Stream`).
        """
        if self._reserved.pop((gateway, message.lease), None) is None and len(self) >= self.size:
            return None
        self._keys += 1
        stream = Stream(
            key=self._keys,
            lease=message.lease,
            session=message.session,
            language=message.language,
            task=message.task,
            start=message.start,
            resume=message.resume,
            policy=self._policy,
        )
        self._slots[self._keys] = Slot(gateway, message.session, stream, now)
        return self._keys

    def close(self, key: int) -> None:
        """Free a slot; unknown keys are ignored."""
        self._slots.pop(key, None)

    def get(self, key: int) -> Slot | None:
        """Return the slot of a stream, None if it has been closed."""
        return self._slots.get(key)

    def find(self, gateway: int, lease: int) -> tuple[int, Slot] | None:
        for key, slot in self._slots.items():
            if slot.gateway == gateway and slot.stream.lease == lease:
                return key, slot
        return None

    def of(self, gateway: int) -> list[int]:
        """Return the keys of a gateway's streams."""
        return [key for key, slot in self._slots.items() if slot.gateway == gateway]

    def waiting(self) -> list[int]:
        """Return the keys of streams that are not open in the model yet."""
        return [key for key, slot in self._slots.items() if not slot.opened]

    @property
    def wants_weights(self) -> bool:
        """Return True if a stream or a reservation waits for the model."""
        return bool(self.waiting() or self.unannounced())

    def streams(self) -> list[Stream]:
        """Return the streams that are open in the model, the one that lags most first."""
        return sorted((s.stream for s in self._slots.values() if s.opened), key=lambda stream: -stream.lag())

    def reports(self, gateway: int) -> tuple[SlotReport, ...]:
        """Return a heartbeat's report to a gateway on the slots in use and those reserved."""
        used = tuple(
            SlotReport(
                lease=slot.stream.lease,
                session=slot.session,
                ours=slot.gateway == gateway,
                received=slot.stream.received,
                decoded=slot.stream.decoded_until,
            )
            for slot in self._slots.values()
        )
        reserved = tuple(
            SlotReport(lease, each.session, ours=owner == gateway, received=0, decoded=0)
            for (owner, lease), each in self._reserved.items()
        )
        return used + reserved

    def check(self) -> None:
        """Assert what must hold between two calls."""
        assert len(self) <= self.size
        leases = [(slot.gateway, slot.stream.lease) for slot in self._slots.values()]
        assert len(set(leases)) == len(leases)
        for key, slot in self._slots.items():
            assert slot.stream.key == key
            slot.stream.check()
