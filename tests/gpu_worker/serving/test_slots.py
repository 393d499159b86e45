import pytest

from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.serving.slots import SlotTable
from shared.messages import Open, Prepare


def opening(lease: int, session: str = "s") -> Open:
    return Open(lease, f"{session}{lease}", "en", "transcribe", 0, None)


@pytest.fixture
def table():
    """Give a table of two slots and check it at the end."""
    table = SlotTable(2, PolicySettings())
    yield table
    table.check()


def test_a_full_table_takes_no_session(table):
    """The third session of two slots is refused; after a slot is freed it is not."""
    first = table.open(0, opening(1), 0.0)
    assert table.open(0, opening(2), 0.0) is not None
    assert table.open(0, opening(3), 0.0) is None
    assert not table.reserve(0, Prepare(4, "s4"), 0.0)
    table.close(first)
    assert table.open(0, opening(3), 0.0) is not None


def test_a_reservation_is_a_slot_until_its_session_comes(table):
    """A slot reserved for a session counts as taken, and the session finds its place in a full table."""
    assert table.reserve(0, Prepare(7, "s7"), 1.0)
    table.open(0, opening(1), 0.0)
    assert len(table) == 2
    assert table.open(0, opening(2), 0.0) is None
    assert table.open(0, opening(7), 2.0) is not None
    assert len(table) == 2
    assert table.unannounced() == []


def test_a_reservation_is_announced_once_and_can_be_cancelled(table):
    """The model is wanted while a gateway has not been told that its slot is ready."""
    assert not table.wants_weights
    table.reserve(0, Prepare(7, "s7"), 1.0)
    assert table.wants_weights
    ((gateway, lease, reservation),) = table.unannounced()
    assert (gateway, lease, reservation.requested_at) == (0, 7, 1.0)
    reservation.announced = True
    assert not table.wants_weights
    table.cancel(0, 7)
    assert len(table) == 0


def test_leases_of_two_gateways_do_not_mix(table):
    """The same number from two gateways is two leases; reports mark each gateway's own."""
    first, second = table.open(0, opening(1, "a"), 0.0), table.open(1, opening(1, "b"), 0.0)
    assert table.find(0, 1)[0] == first
    assert table.find(1, 1)[0] == second
    assert [(report.session, report.ours) for report in table.reports(1)] == [("a1", False), ("b1", True)]
    assert table.of(0) == [first]


def test_a_reserved_slot_is_reported(table):
    """Reports include reserved slots too, so that a gateway can cancel one that it no longer knows."""
    table.reserve(0, Prepare(7, "s7"), 1.0)
    assert [(report.lease, report.session, report.ours) for report in table.reports(0)] == [(7, "s7", True)]
    assert [report.ours for report in table.reports(1)] == [False]


def test_streams_wait_until_they_are_opened(table):
    """A stream takes no part in steps before it is open in the model."""
    key = table.open(0, opening(1), 0.0)
    slot = table.get(key)
    slot.stream.receive(0, bytes(32_000))
    assert table.waiting() == [key]
    assert table.streams() == []
    slot.opened = True
    assert table.streams() == [slot.stream]


def test_the_stream_that_lags_most_comes_first(table):
    """Of two streams the one with more undecoded audio has its turn first."""
    keys = [table.open(0, opening(lease), 0.0) for lease in (1, 2)]
    for key, seconds in zip(keys, (1, 2), strict=True):
        table.get(key).opened = True
        table.get(key).stream.receive(0, bytes(32_000 * seconds))
    assert [stream.key for stream in table.streams()] == [keys[1], keys[0]]
