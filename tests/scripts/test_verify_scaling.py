"""What `scripts/verify_scaling` expects of a server, and how it judges what it sees."""

import io
import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scripts.scaling.checks import good, judge
from scripts.scaling.evidence import Evidence, Look, Phase, Plan, SessionRecord, make_plan
from scripts.scaling.findings import Verdict, listed, ordinal
from scripts.scaling.report import Lines, print_table, render
from scripts.scaling.verify import command
from scripts.tools.server_api import Capacity, GpuStatus, Health, Worker, read, read_gpu_status

FOUR = Plan((0, 1, 2, 3), (4, 4, 4, 4), (0, 0, 0, 0))
HOST_GB, DEVICE_GB = 0.25, 0.4


def look(*loads, health=None, memory_gb=None, weights=None, slots=4):
    """Return a look at GPUs with these sessions; those with one have taken memory."""
    share = 100.0 * sum(loads) / (slots * len(loads))
    word = "healthy" if share < 70 else "degraded" if share <= 90 else "critical"
    memory_gb = memory_gb or [DEVICE_GB if load else HOST_GB for load in loads]
    gpus = tuple(
        Worker(
            gpu_id=number,
            active_connections=load,
            connection_ids=frozenset(),
            allocated_memory_gb=gb,
            slots=slots,
            weights=weights or ("device" if load else "host"),
            device="cuda",
        )
        for number, (load, gb) in enumerate(zip(loads, memory_gb, strict=True))
    )
    return Look(0.0, GpuStatus(gpus, None, None, None), Health(health or word, "tiny.en", Capacity(share)))


def session(number, phase, gpu_id, **changes):
    served = SessionRecord(
        number=number,
        phase=phase,
        session=f"s{number}",
        gpu_id=gpu_id,
        loads=False,
        connected_ms=5.0,
        ready_ms=10.0,
        errors=(),
        close_code=1000,
        ended="complete",
        problem="",
        accounted=True,
        audio_s=10.0,
        dropped_s=0.0,
        words=20,
    )
    return replace(served, **changes)


def evidence():
    """Return what is seen on a server of four GPUs on which all is well."""
    seen = Evidence(FOUR, look(0, 0, 0, 0), 60.0)
    records = [session(1, Phase.SINGLE, 0, loads=True, ready_ms=600.0)]
    for number in range(16):
        first = 1 <= number < 4
        phase = Phase.SPREAD if number < 8 else Phase.FILL
        records.append(session(number + 2, phase, number % 4, loads=first, ready_ms=700.0 if first else 10.0))
        seen.opening.append(look(*FOUR.loads(number + 1)))
    refusal = "No GPU resources available"
    records.append(
        session(18, Phase.SURPLUS, None, ready_ms=None, errors=(refusal,), close_code=1013, ended="refused", words=0)
    )
    records.append(session(19, Phase.NEWCOMER, 0))
    seen.records = {each.number: each for each in records}
    full = look(4, 4, 4, 4)
    seen.looks = {"single": look(1, 0, 0, 0), "spread": look(2, 2, 2, 2), "full": full, "crowded": full}
    seen.looks |= {"speaking": full, "released": look(0, 0, 0, 0)}
    seen.note_memory(full)
    seen.waited_s, seen.over = 11.0, True
    return seen


def change(seen, numbers, **changes):
    for number in numbers:
        seen.records[number] = replace(seen.records[number], **changes)


def failed(seen):
    return {row.name for row in judge(seen) if row.verdict is Verdict.FAIL}


def row(seen, name):
    return next(each for each in judge(seen) if each.name == name)


@given(
    st.lists(st.integers(1, 8), min_size=1, max_size=9).flatmap(
        lambda slots: st.tuples(
            st.just(slots), st.tuples(*(st.integers(0, each) for each in slots)), st.integers(0, 80)
        )
    )
)
def test_where_sessions_ought_to_be(case):
    """Whatever the shape, all who fit are placed, no GPU has more than its slots, and newcomers never make loads more uneven than one."""
    slots, base, count = case
    plan = Plan(tuple(range(len(slots))), tuple(slots), base)
    loads = plan.loads(count)
    assert sum(loads) == min(sum(base) + count, sum(slots))
    assert all(before <= load <= most for before, load, most in zip(base, loads, slots, strict=True))
    assert plan.uneven(loads) <= max(1, plan.uneven(base))
    assert 0 <= plan.spread <= plan.room


@pytest.mark.parametrize(
    ("slots", "spread", "loads", "room"),
    [
        ((4, 4, 4, 4), 8, (2, 2, 2, 2), 16),
        ((4, 4), 4, (2, 2), 8),
        ((1, 1, 1, 1), 2, (1, 1, 0, 0), 4),
        ((4, 2), 3, (2, 1), 6),
        ((1,), 1, (1,), 1),
    ],
)
def test_other_shapes(slots, spread, loads, room):
    """Half of the slots are spread evenly, the lowest numbers first, on other counts of GPUs and slots too."""
    plan = Plan(tuple(range(len(slots))), slots, (0,) * len(slots))
    assert (plan.spread, plan.loads(plan.spread), plan.room) == (spread, loads, room)


GUIDE_GPU = {"active_connections": 2, "connection_ids": ["abc-123", "def-456"], "allocated_memory_gb": 7.45}
GUIDE_HEALTH = {"status": "healthy", "capacity": {"total_slots": 16, "used_slots": 8, "utilization_percent": 50.0}}


def seen_in(body):
    return Look(1.0, read_gpu_status(body), read(Health, "/health", GUIDE_HEALTH))


def test_the_guides_own_keys_are_enough():
    """A server that says what the guide shows, and nothing beside it, can be checked."""
    body = {"max_connections_per_gpu": 4, "gpus": [GUIDE_GPU | {"gpu_id": number} for number in (1, 0)]}
    seen = seen_in(body)
    assert (seen.loads, seen.names, seen.missing) == ((2, 2), {"abc-123", "def-456"}, ())
    assert (seen.sessions, seen.waiting, seen.share_percent) == (4, 0, 50.0)
    assert [gpu.gpu_id for gpu in seen.serving] == [0, 1]
    assert make_plan(seen) == Plan((0, 1), (4, 4), (2, 2))
    lost = body | {"gpus": [GUIDE_GPU | {"gpu_id": 0, "state": "lost"}, GUIDE_GPU | {"gpu_id": 1, "slots": 3}]}
    plan = make_plan(seen_in(lost))
    assert (plan.gpus, plan.slots) == ((1,), (3,))


def test_what_cannot_be_checked_is_said():
    """A server without workers or without a free slot is refused."""
    with pytest.raises(ValueError, match="no GPU worker serves"):
        make_plan(seen_in({"gpus": []}))
    with pytest.raises(ValueError, match="no slot is free"):
        make_plan(look(4, 4))


def test_all_is_well():
    """On a good server all rows pass: the guide's fourteen, and three beside them."""
    rows = judge(evidence())
    assert [each.name for each in rows if each.verdict is not Verdict.PASS] == []
    assert good(rows)
    assert [each.name for each in rows[:14]] == [
        *(f"Test {n}" for n in (1, 2, 3)),
        *(f"Check {n}" for n in range(1, 6)),
        *(f"Criterion {n}" for n in range(1, 7)),
    ]


def test_nothing_is_judged_before_it_was_seen():
    """Before the first visit every row is open, which is not good enough for an end."""
    rows = judge(Evidence(FOUR, look(0, 0, 0, 0), 60.0))
    assert {each.verdict for each in rows} == {Verdict.OPEN}
    assert not good(rows)


def all_on_the_first(seen):
    seen.looks["spread"] = look(8, 0, 0, 0, slots=8)
    seen.opening = [look(number, 0, 0, 0, slots=8) for number in range(8)]
    change(seen, range(2, 10), gpu_id=0)


def surplus_served(seen):
    seen.looks["crowded"] = look(5, 4, 4, 4)
    change(seen, [18], ready_ms=10.0, errors=(), close_code=1000, ended="left")


def weights_stay(seen):
    stay = look(0, 0, 0, 0, memory_gb=[DEVICE_GB] * 4, weights="device")
    seen.idle = seen.looks["released"] = stay


def degraded_at_half(seen):
    seen.looks["spread"] = seen.opening[7] = look(2, 2, 2, 2, health="degraded")


def one_gpu_slow(seen):
    change(seen, [4], ready_ms=7000.0)


def saw(stage, *loads, gpu_id=None, **kwargs):
    """Return a fault: this is what a look of the stage shows, and where the first session was told it is."""

    def fault(seen):
        seen.looks[stage] = look(*loads, **kwargs)
        if gpu_id is not None:
            change(seen, [1], gpu_id=gpu_id)

    return fault


def told(numbers, **changes):
    return lambda seen: change(seen, numbers, **changes)


REFUSED = {"ready_ms": None, "errors": ("No GPU resources available",), "ended": "refused"}
CUT = {"errors": (), "close_code": 1006, "ended": "failed", "problem": "the connection broke"}


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        (saw("single", 0, 1, 0, 0, gpu_id=1), {"Test 1"}),
        (all_on_the_first, {"Test 2", "Check 1", "Check 2", "Criterion 1"}),
        (told([17], **REFUSED), {"Test 3"}),
        (surplus_served, {"Test 3", "Check 5", "Criterion 5"}),
        (told([18], **CUT), {"Test 3", "Check 5", "Criterion 5"}),
        (saw("released", 0, 0, 0, 0, memory_gb=[HOST_GB, HOST_GB, DEVICE_GB, HOST_GB]), {"Criterion 6"}),
        (weights_stay, {"Criterion 6"}),
        (saw("spread", 2, 2, 2, 2, memory_gb=[DEVICE_GB, DEVICE_GB, DEVICE_GB, HOST_GB]), {"Check 2"}),
        (one_gpu_slow, {"Check 3"}),
        (told([12], ready_ms=400.0), {"Check 3"}),
        (told(range(1, 18), ready_ms=3100.0), {"Criterion 3"}),
        (told([2, 3], connected_ms=500.0), {"Connecting"}),
        (degraded_at_half, {"Check 4", "Criterion 4"}),
        (saw("full", 4, 4, 4, 4, health="healthy"), {"Test 3"}),
        (told([9], dropped_s=0.5), {"Sessions"}),
        (told([9], accounted=False), {"Sessions"}),
        (told(range(1, 20), words=0), {"Sessions"}),
        (told([19], ready_ms=5100.0), {"Newcomer"}),
    ],
)
def test_each_fault_fails_its_rows(fault, names):
    """One thing that is wrong fails the rows that are about it, and no other."""
    seen = evidence()
    fault(seen)
    assert failed(seen) == names
    assert not good(judge(seen))


def test_one_late_word_in_ten_is_forgiven():
    """A crowded machine wakes its client late now and then: one of nineteen sessions may be late."""
    seen = evidence()
    change(seen, [2], connected_ms=500.0)
    assert failed(seen) == set()


def test_the_way_to_the_server_is_left_out():
    """Behind a long way every word is late by it, and none by the server."""
    seen = evidence()
    change(seen, seen.records, connected_ms=190.0)
    assert failed(seen) == {"Connecting"}
    seen.floor_ms = 150.0
    assert failed(seen) == set()


def test_a_second_measurement_counts_by_the_better_one():
    """What was slow once, by chance, is not slow again; what is slow again fails."""
    seen = evidence()
    one_gpu_slow(seen)
    for number in range(4):
        seen.records[20 + number] = session(20 + number, Phase.AGAIN, number, loads=True, ready_ms=500.0)
    assert failed(seen) == set()
    assert row(seen, "Check 3").measured == "loading 600 to 7000 ms; loaded 10 to 10 ms; loading again 500 to 500 ms"
    change(seen, [22], ready_ms=5000.0)
    assert failed(seen) == {"Check 3"}


def test_short_setups_may_differ():
    """Ten times as long is nothing where both are short."""
    seen = evidence()
    change(seen, [7, 12], ready_ms=299.0)
    change(seen, [6, 13], ready_ms=3.0)
    assert row(seen, "Check 3").verdict is Verdict.PASS


def test_what_a_server_cannot_be_asked():
    """Unknown memory, or a single slot, make no failure: the row says what was seen instead."""
    seen = evidence()
    unknown = tuple(replace(gpu, allocated_memory_gb=None) for gpu in look(2, 2, 2, 2).status.gpus)
    seen.looks["spread"] = replace(look(2, 2, 2, 2), status=GpuStatus(unknown, None, None, None))
    assert row(seen, "Check 2").verdict is Verdict.NONE
    assert row(seen, "Check 2").measured == "the server does not know its memory"
    one = Evidence(Plan((0,), (1,), (0,)), look(0, slots=1), 1.0)
    assert row(one, "Check 4").expected == "healthy at 0/1 slots"
    assert row(one, "Check 4").verdict is Verdict.PASS


def test_the_table_stands_in_80_columns():
    """Every row is printed with its expectation, no line is longer than the terminal, and none of what is expected is broken."""
    out = io.StringIO()
    rows = judge(evidence())
    print_table(Console(file=out, width=80), rows)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for each in rows:
        assert any(each.expected in line for line in lines), each
        assert any(line.startswith(f"PASS  {each.name} ") for line in lines)


def test_lines_tell_each_verdict_once():
    """Where there is no terminal each verdict is one line, and what goes on is told when it changes."""
    out = io.StringIO()
    lines = Lines(Console(file=out, width=120))
    for _ in range(3):
        lines.show("the last words", look(4, 4, 4, 4), evidence())
    assert out.getvalue().count("the last words") == 1
    assert out.getvalue().count("PASS  Test 3: 16 ready, 17th refused, critical") == 1


def test_json_has_everything():
    """The JSON has each row with its verdict, each session and each look."""
    seen = evidence()
    one_gpu_slow(seen)
    body = json.loads(render({"url": "ws://here/asr"}, judge(seen), seen))
    assert (body["url"], body["passed"]) == ("ws://here/asr", False)
    verdicts = {check["name"]: check["verdict"] for check in body["checks"]}
    assert (verdicts["Check 3"], verdicts["Test 1"], len(verdicts)) == ("fail", "pass", 17)
    assert len(body["sessions"]) == 19
    assert [gpu["sessions"] for gpu in body["looks"]["spread"]["gpus"]] == [2, 2, 2, 2]
    assert (body["plan"]["room"], body["looks"]["idle"]["health"]) == (16, "healthy")


def test_words():
    """Numbers are written as people write them, and long lists are shortened."""
    assert [ordinal(number) for number in (1, 2, 3, 4, 11, 17, 22)] == [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "17th",
        "22nd",
    ]
    assert listed(range(3)) == "[0, 1, 2]"
    assert listed(range(20)) == "[0, 1, 2, 3, …, 18, 19]"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--url", "ftp://host"], "not the address"),
        (["--url", "ws://host/asr?token=x"], "ends up in logs"),
        (["--seconds", "0"], "--seconds"),
        (["--json", "/nowhere/at/all.json"], "no directory"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_wrong_options_are_refused(options, says):
    """What makes no sense is refused with exit code 2 before anything is opened."""
    result = CliRunner().invoke(command, options)
    assert result.exit_code == 2
    assert says in result.output
