"""Rollups of every step equal a recomputation from the rows, whatever the order of things."""

import itertools
import random
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector import compaction, derived, migrate
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from telemetry.streams import Stream
from tests.fix_collector import NOW_US, FakeHost, S, Shelf, random_reading

FAST = CATALOGUE.group(Group.FAST)
ROLLED = [metric.name for metric in CATALOGUE.rollup()]
# Even the hour of arrival that has not ended is moved.
AT_ONCE = timedelta(hours=-1)
LATER_US = NOW_US + 7200 * S
_numbers = itertools.count()


def from_samples(shelf: Shelf, key: str, seconds: int) -> list[object]:
    parts = [
        part
        for name in ROLLED
        for part in (
            f"coalesce(sum({name}), 0)::bigint",
            f"count({name})",
            f"min({name})",
            f"max({name})",
        )
    ]
    return shelf.rows(
        f"select date_bin('{seconds} s', time, 'epoch'), {key}, count(*), "
        "count(*) filter (where clock_event_reasons_bitmask & 232 <> 0), " + ", ".join(parts) + " "
        "from samples join accelerators using (gpu_id) join hosts using (host_id) "
        "group by 1, 2 order by 1, 2"
    )


def added(source: str, key: str, seconds: int) -> str:
    """A query that adds up what stands several times."""
    parts = [
        part
        for name in ROLLED
        for part in (
            f"sum({name}_sum)::bigint",
            f"sum({name}_count)::bigint",
            f"min({name}_min)",
            f"max({name}_max)",
        )
    ]
    return (
        f"select date_bin('{seconds} s', bucket, 'epoch'), {key}, sum(sample_rows)::bigint, "
        f"sum(throttled_rows)::bigint, {', '.join(parts)} from {source} group by 1, 2 order by 1, 2"
    )


def with_parts(table: str) -> str:
    """What is moved, and what is still to be."""
    columns = [f"{name}_{part}" for name in ROLLED for part in ("sum", "count", "min", "max")]
    columns = ["sample_rows", "throttled_rows", *columns]
    listed, arrays = ", ".join(columns), ", ".join(f"p.{name}" for name in columns)
    return (
        f"(select bucket, gpu_id, {listed} from {table} union all "
        f"select p.time, e.* from gpu_rollup_parts p, unnest(p.gpu_ids, {arrays}) "
        f"as e (gpu_id, {listed})) as rows"
    )


def assert_all_equal(shelf: Shelf) -> None:
    tables = (
        ("facility_rollup_10s", "facility_id", 10),
        ("facility_rollup_1m", "facility_id", 60),
        ("facility_rollup_1h", "facility_id", 3600),
        ("rack_rollup_1m", "rack_id", 60),
        ("rack_rollup_1h", "rack_id", 3600),
        (with_parts("gpu_rollup_1m"), "gpu_id", 60),
        (with_parts("gpu_rollup_1h"), "gpu_id", 3600),
    )
    for source, key, seconds in tables:
        assert shelf.rows(added(source, key, seconds)) == from_samples(shelf, key, seconds), source
    assert_spread_equals(shelf)


def assert_spread_equals(shelf: Shelf) -> None:
    for step_s in (60, 300, 3600):
        expected = shelf.rows(
            "with means as ("
            f"select date_bin('{step_s} s', time, 'epoch') as bucket, facility_id, rack_id, "
            "avg(utilization_gpu_percent)::float8 as load "
            "from samples join accelerators using (gpu_id) join hosts using (host_id) "
            "group by 1, 2, 3) "
            "select bucket, facility_id, count(*)::integer, "
            "round(percentile_cont(0.9) within group (order by load)::numeric, 6) "
            "from means group by 1, 2 order by 1, 2"
        )
        found = shelf.rows(
            "select bucket, facility_id, racks, round(load_p90::numeric, 6) "
            f"from facility_spread where step_s = {step_s} order by 1, 2"
        )
        assert found == expected


def messages_of(chance: st.DataObject, number: int) -> list[bytes]:
    """Messages of three hosts over some minutes, a few of them an hour back."""
    values = random.Random(chance.draw(st.integers(0, 10**6)))
    messages = []
    for host in [FakeHost(f"node-{number}-{n}", facility=f"hall-{number % 3}") for n in range(3)]:
        for n in range(chance.draw(st.integers(2, 6))):
            ticks = chance.draw(st.integers(1, 12))
            back_s = chance.draw(st.sampled_from([0, 0, 47, 1800, 4000]))
            start_us = NOW_US - back_s * S + 13 * n * S
            times = [start_us + tick * S for tick in range(ticks)]
            rows = [[random_reading(values, FAST) for _ in range(2)] for _ in times]
            fewer = chance.draw(st.booleans())
            metrics = FAST[:12] if fewer else None
            messages.append(host.samples(times, rows=rows, metrics=metrics))
    order: Sequence[int] = chance.draw(st.permutations(range(len(messages))))
    repeats = chance.draw(st.lists(st.sampled_from(range(len(messages))), max_size=5))
    return [messages[n] for n in [*order, *repeats]]


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(chance=st.data())
def test_every_rollup_equals_a_recomputation_in_any_order(
    shelf: Shelf, chance: st.DataObject
) -> None:
    messages = messages_of(chance, next(_numbers))
    tier = migrate.tier_of(shelf.connection)
    while messages:
        size = chance.draw(st.integers(1, 9))
        shelf.store(Stream.SAMPLES, *messages[:size])
        messages = messages[size:]
        if chance.draw(st.booleans()):
            derived.make_due(shelf.connection, chance.draw(st.sampled_from([NOW_US, LATER_US])))
        if chance.draw(st.booleans()):
            compaction.move(shelf.connection, tier, kept=AT_ONCE)
    derived.make_due(shelf.connection, LATER_US)
    assert_all_equal(shelf)
    compaction.move(shelf.connection, tier, kept=AT_ONCE)
    assert shelf.one("select count(*) from gpu_rollup_parts") == 0
    shelf.replay()
    assert_all_equal(shelf)


def test_what_has_not_changed_is_not_made_again(shelf: Shelf) -> None:
    host = FakeHost()
    shelf.store(Stream.SAMPLES, host.samples([NOW_US, NOW_US + S]))
    assert derived.make_due(shelf.connection, NOW_US) == 0  # its five minutes are not over
    assert derived.make_due(shelf.connection, LATER_US) == 2  # five minutes, and an hour
    assert derived.make_due(shelf.connection, LATER_US) == 0
    shelf.store(Stream.SAMPLES, host.samples([NOW_US - S]))
    assert derived.make_due(shelf.connection, LATER_US) == 2


def test_a_part_ends_with_its_minute_and_with_its_message(shelf: Shelf) -> None:
    minute_us = NOW_US // (60 * S) * 60 * S
    times = [minute_us + second * S for second in (57, 58, 59, 60, 61)]
    shelf.store(Stream.SAMPLES, FakeHost().samples(times))
    assert shelf.rows(
        "select sample_rows, utilization_gpu_percent_sum from gpu_rollup_parts order by time"
    ) == [([3, 3], [150, 150]), ([2, 2], [100, 100])]
