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
from telemetry.records import Accelerator, Inventory
from telemetry.streams import Stream
from tests.fix_collector import NOW_US, FakeHost, S, Shelf, random_reading
from tests.fix_rollups import assert_all_equal

FAST = CATALOGUE.group(Group.FAST)
# Even the hour of arrival that has not ended is moved.
AT_ONCE = timedelta(hours=-1)
LATER_US = NOW_US + 7200 * S
_numbers = itertools.count()


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


def test_a_mig_instance_counts_in_no_mean_from_when_its_inventory_says_what_it_is(
    shelf: Shelf,
) -> None:
    host = FakeHost(gpus=2)
    board, instance = host.uuids
    cut = Inventory(
        time_us=NOW_US,
        accelerators=(
            Accelerator(uuid=board, index=0),
            Accelerator(uuid=instance, index=0, parent=board),
        ),
    )
    shelf.store(Stream.SAMPLES, host.samples([NOW_US]))
    shelf.store(Stream.EVENTS, host.events(cut))
    shelf.store(Stream.SAMPLES, host.samples([NOW_US + S]))
    shelf.writer.forget()  # a collector that starts anew asks the database
    shelf.store(Stream.SAMPLES, host.samples([NOW_US + 2 * S]))
    told = "select sum(sample_rows)::int, sum(memory_used_mebibytes_count)::int from "
    assert shelf.rows(told + "facility_rollup_10s") == [(2 + 1 + 1, 2 + 1 + 1)]
    assert shelf.rows(told + "rack_rollup_1m") == [(4, 4)]
    assert shelf.one("select count(*) from samples") == 6
