"""Two witnesses made one event, and a burst made its root."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agent.xid_join import XidJoiner, XidSettings
from telemetry.records import Detail, Event, EventKind

GPU, OTHER = b"\x01" * 16, b"\x02" * 16
T0_US = 1_800_000_000_000_000
HOLD_S, BURST_S = 0.4, 180.0


def joiner() -> XidJoiner:
    return XidJoiner(XidSettings(xid_hold_s=HOLD_S, xid_burst_s=BURST_S))


def nvml(code: int, at_s: float = 0.0, gpu: bytes = GPU) -> Event:
    return Event(time_us=T0_US + round(at_s * 1e6), kind=EventKind.XID, accelerator=gpu, code=code)


def kernel(code: int, at_s: float = 0.0, gpu: bytes = GPU, **detail: str | int) -> Event:
    whole: Detail = {"witness": "kernel_log", "pci_address": "0000:01:00", **detail}
    return Event(
        time_us=T0_US + round(at_s * 1e6),
        kind=EventKind.XID,
        accelerator=gpu,
        code=code,
        message=f"line of {code}",
        detail=whole,
    )


def test_both_witnesses_make_one_event_at_once() -> None:
    join = joiner()
    assert join.add(nvml(79, 0.02), 0.0) == []
    (event,) = join.add(kernel(79, 0.01), 0.1)
    assert event.time_us == T0_US + 10_000
    assert event.message == "line of 79"
    assert event.detail["witness"] == "kernel_log nvml"
    assert event.detail["nvml_time_us"] == T0_US + 20_000
    assert join.due(10.0) == []
    assert join.flush() == []


def test_one_witness_leaves_after_the_hold() -> None:
    join = joiner()
    join.add(nvml(79), 0.0)
    assert join.due(HOLD_S / 2) == []
    (event,) = join.due(HOLD_S)
    assert event.detail["witness"] == "nvml"


def test_a_late_second_witness_is_no_second_event_but_its_evidence_is_kept() -> None:
    join = joiner()
    join.add(nvml(79), 0.0)
    assert len(join.due(1.0)) == 1
    assert join.add(kernel(79, 1.9), 2.0) == []
    (summary,) = join.due(BURST_S)
    assert summary.kind is EventKind.XID_BURST
    assert summary.detail["suppressed"] == 0
    assert summary.detail["late_79_kernel_log"] == "line of 79"


def test_the_root_goes_first_and_channel_removals_are_counted() -> None:
    join = joiner()
    for n in range(20):
        assert join.add(kernel(45, 0.01 * n, caused_by_xid=79), 0.0) == []
        join.add(nvml(45, 0.01 * n), 0.0)
    join.add(kernel(79, 0.3), 0.1)
    told = join.due(HOLD_S + 0.1)
    assert [event.code for event in told] == [79]
    (summary,) = join.due(BURST_S)
    assert (summary.kind, summary.code, summary.accelerator) == (EventKind.XID_BURST, 79, GPU)
    assert summary.detail["suppressed"] == 20
    assert summary.detail["suppressed_codes"] == "45 x 20"


def test_a_channel_removal_alone_is_told() -> None:
    join = joiner()
    join.add(nvml(45), 0.0)
    assert [event.code for event in join.due(1.0)] == [45]


def test_each_number_passes_once_with_its_root() -> None:
    join, told = joiner(), list[Event]()
    for code, at_s in ((48, 0.0), (63, 1.0), (154, 2.0), (48, 3.0)):
        told += join.add(kernel(code, at_s), at_s)
        told += join.due(at_s + HOLD_S)
    assert [event.code for event in told] == [48, 63, 154]
    assert "burst_root_code" not in told[0].detail
    assert {event.detail["burst_root_code"] for event in told[1:]} == {48}
    assert join.due(BURST_S)[0].detail["suppressed_codes"] == "48 x 1"


def test_another_sub_code_or_action_is_another_fault() -> None:
    join = joiner()
    join.add(kernel(149, sub_code=37), 0.0)
    join.add(nvml(149), 0.0)
    join.add(kernel(149, sub_code=38), 0.0)
    join.add(kernel(154, recovery_action_code=1), 0.0)
    join.add(kernel(154, recovery_action_code=2), 0.0)
    told = join.due(1.0)
    assert len(told) == 3  # 149/37 left at once, with both witnesses
    assert join.flush() == []


def test_nvml_before_the_line_joins_whatever_the_sub_code() -> None:
    join = joiner()
    join.add(nvml(149), 0.0)
    (event,) = join.add(kernel(149, sub_code=37), 0.1)
    assert event.detail["sub_code"] == 37
    assert join.add(nvml(149), 0.2) == []
    assert join.flush()[0].detail["suppressed_codes"] == "149 x 1"


def test_a_new_burst_tells_again() -> None:
    join = joiner()
    join.add(kernel(31, 0), 0.0)
    join.due(1.0)
    join.due(BURST_S)
    join.add(kernel(31, BURST_S), BURST_S)
    assert [event.code for event in join.due(BURST_S + 1)] == [31]


def test_old_lines_that_are_read_at_once_are_bursts_by_their_own_times() -> None:
    join = joiner()
    told = [event for n in range(3) for event in join.add(kernel(31, 1000.0 * n), 5.0)]
    told += join.flush()
    assert [event.time_us for event in told] == [T0_US + n * 1_000_000_000 for n in range(3)]


def test_a_clock_that_was_set_back_opens_a_new_burst() -> None:
    join = joiner()
    join.add(kernel(31, 0), 0.0)
    join.due(1.0)
    join.add(kernel(31, -3600), 2.0)
    assert [event.kind for event in join.due(3.0)] == [EventKind.XID]


def test_boards_are_apart_and_switches_go_by_address() -> None:
    join = joiner()
    join.add(nvml(79), 0.0)
    join.add(nvml(79, gpu=OTHER), 0.0)
    for address in ("0000:c1:00", "0000:c2:00"):
        detail: Detail = {"witness": "kernel_log", "pci_address": address}
        join.add(Event(time_us=T0_US, kind=EventKind.SXID, code=20034, detail=detail), 0.0)
    assert len(join.due(1.0)) == 4


def test_other_events_pass_at_once() -> None:
    event = Event(time_us=T0_US, kind=EventKind.GPU_LOST, accelerator=GPU)
    assert joiner().add(event, 0.0) == [event]


def test_a_storm_of_numbers_is_bounded_and_counted() -> None:
    join = joiner()
    for code in range(1000):
        join.add(kernel(code + 200), 0.0)
    told = join.flush()
    assert len(told) == 17
    assert told[-1].detail["suppressed"] == 1000 - 16


CODES = st.sampled_from([13, 31, 45, 48, 63, 79, 149, 154])
STEPS = st.lists(
    st.tuples(st.booleans(), CODES, st.sampled_from([GPU, OTHER]), st.floats(0, 120)), max_size=60
)


@given(STEPS)
def test_nothing_is_left_out_without_being_counted(
    steps: list[tuple[bool, int, bytes, float]],
) -> None:
    join, now_s, told = joiner(), 0.0, list[Event]()
    for from_kernel, code, gpu, gap_s in steps:
        now_s += gap_s
        make = kernel if from_kernel else nvml
        told += join.add(make(code, now_s, gpu), now_s)
        told += join.due(now_s)
    told += join.flush()
    lines = Counter((gpu, code) for from_kernel, code, gpu, _ in steps if from_kernel)
    events = Counter((gpu, code) for from_kernel, code, gpu, _ in steps if not from_kernel)
    counted: Counter[tuple[bytes, int]] = Counter()
    for event in told:
        if event.kind is EventKind.XID:
            counted[event.accelerator, event.code or 0] += 1
            continue
        for part in str(event.detail["suppressed_codes"]).split(", "):
            if part:
                code_text, _, times = part.partition(" x ")
                counted[event.accelerator, int(code_text)] += int(times)
    for key, number in counted.items():
        # Two witnesses of one fault count once, so the truth lies between the two extremes.
        assert max(lines[key], events[key]) <= number <= lines[key] + events[key]
    assert counted.keys() == lines.keys() | events.keys()
