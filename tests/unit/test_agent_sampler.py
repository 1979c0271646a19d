"""Readings become columns, and columns of many ticks one body."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.accelerators import AcceleratorReading
from agent.drafts import SampleTick
from agent.fold import fold
from agent.messages import Composer, chunks, full, runs
from agent.sampler import Sampler
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from telemetry.packing import unpack
from telemetry.records import Accelerator, Event, EventKind, ReaderStatus
from telemetry.wire import decode, decode_events, parse_layout
from tests.fix_agent import IDENTITY, START_US, make_tick, uuid_of

NAMES = [metric.name for metric in CATALOGUE.group(Group.FAST)]


def reading(
    name: str,
    values: dict[str, int],
    unsupported: frozenset[str] | set[str] = frozenset(),
    failed: dict[str, str] | None = None,
) -> AcceleratorReading:
    return AcceleratorReading(
        uuid_of(name), ReaderStatus.WHOLE, values, frozenset(unsupported), failed or {}
    )


def names_in(layout: bytes) -> set[str]:
    return {CATALOGUE.by_id[number].name for number, _ in parse_layout(layout).entries}


def message(ticks: list[SampleTick], seq: int = 1) -> bytes:
    return Composer(IDENTITY).samples(ticks, boot_epoch=1, seq=seq, now_us=START_US)


def test_a_metric_that_no_accelerator_offers_is_left_out() -> None:
    readings = [reading(n, {}, {"utilization_ofa_percent"}) for n in "ab"]
    tick = Sampler().tick(Group.FAST, START_US, readings)
    assert names_in(tick.layout) == set(NAMES) - {"utilization_ofa_percent"}


def test_a_metric_that_one_accelerator_offers_travels_for_all() -> None:
    readings = [reading("a", {}, {"sm_active_permille"}), reading("b", {"sm_active_permille": 7})]
    tick = Sampler().tick(Group.FAST, START_US, readings)
    assert unpack(decode(message([tick]))).columns["sm_active_permille"] == [None, 7]


def test_a_failed_metric_is_missing_and_counted_and_zero_is_zero() -> None:
    readings = [
        reading("a", {"power_milliwatts": 0}),
        reading("b", {}, failed={"power_milliwatts": "busy"}),
    ]
    columns = unpack(decode(message([Sampler().tick(Group.FAST, START_US, readings)]))).columns
    assert columns["power_milliwatts"] == [0, None]
    assert columns["read_failures_count"] == [0, 1]


def test_a_lost_accelerator_keeps_the_layout_and_has_no_values() -> None:
    sampler = Sampler()
    before = sampler.tick(Group.FAST, START_US, [reading("a", {}, {"sm_active_permille"})])
    lost = AcceleratorReading(uuid_of("a"), ReaderStatus.LOST)
    after = sampler.tick(Group.FAST, START_US, [lost])
    assert after.layout == before.layout
    columns = unpack(decode(message([after]))).columns
    assert columns.pop("reader_status_code") == [ReaderStatus.LOST]
    assert columns.pop("read_failures_count") == [0]
    assert all(values == [None] for values in columns.values())


def test_the_inventory_says_what_is_not_offered_before_the_first_answer() -> None:
    sampler = Sampler()
    sampler.learn([Accelerator(uuid=uuid_of("a"), index=0, unsupported=("sm_active_permille",))])
    tick = sampler.tick(
        Group.FAST, START_US, [AcceleratorReading(uuid_of("a"), ReaderStatus.TIMEOUT)]
    )
    assert "sm_active_permille" not in names_in(tick.layout)


@given(st.integers(1, 20), st.integers(1, 12), st.integers(0, 2**32))
@settings(max_examples=40)
def test_folding_ticks_loses_and_invents_no_value(gpus: int, count: int, seed: int) -> None:
    random = Random(seed)
    rows = [
        [
            {name: random.randrange(16) for name in NAMES if random.random() < 0.7}
            for _ in range(gpus)
        ]
        for _ in range(count)
    ]
    sampler = Sampler()
    ticks = [
        sampler.tick(
            Group.FAST, START_US + at, [reading(f"{g}", values) for g, values in enumerate(row)]
        )
        for at, row in enumerate(rows)
    ]
    found = unpack(decode(message(ticks)))
    assert found.times_us == [START_US + at for at in range(len(rows))]
    for name in set(NAMES) - {"reader_status_code", "read_failures_count"}:
        assert found.columns[name] == [values.get(name) for row in rows for values in row]


def test_one_tick_folds_to_itself() -> None:
    tick = make_tick()
    assert fold([tick]) == tick.body


def test_another_layout_or_another_accelerator_starts_a_new_message() -> None:
    ticks = [make_tick(0), make_tick(1), make_tick(2, gpus=3), make_tick(3, gpus=3), make_tick(4)]
    assert [len(run) for run in runs(ticks, 10)] == [2, 2, 1]


def test_a_message_ends_when_it_is_full_or_urgent_or_large() -> None:
    assert full([make_tick()] * 10, 10)
    assert full([make_tick(urgent=True)], 10)
    large = make_tick(gpus=256)
    per_message = (1 << 19) // len(large.body)
    assert full([large] * per_message, 600)
    assert not full([large] * (per_message - 1), 600)
    assert decode(message([large] * per_message))


@given(st.lists(st.integers(0, 1024), max_size=30))
def test_chunks_keep_every_record_in_order(sizes: list[int]) -> None:
    records = [
        Event(time_us=at, kind=EventKind.XID, message="x" * size, detail={"d": "y" * size * 400})
        for at, size in enumerate(sizes)
    ]
    found: list[int] = []
    for chunk in chunks(records):
        payload = Composer(IDENTITY).events(chunk, boot_epoch=1, seq=1, now_us=0)
        found += [record.time_us for record in decode_events(decode(payload))]
    assert found == list(range(len(sizes)))


def test_a_record_too_large_for_any_message_is_left_out() -> None:
    huge = Event(time_us=0, kind=EventKind.XID, detail={"d": "y" * (1 << 20)})
    small = Event(time_us=1, kind=EventKind.XID)
    assert list(chunks([huge, small])) == [[small]]
