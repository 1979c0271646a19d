"""Sums and state from columns, against plain Python over the same values."""

import random
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from collector import live, rollup
from collector.consumer import Partition, Received
from collector.copy_rows import EPOCH_OFFSET_US, Column
from collector.intake import Samples, Window, Windows, open_record
from collector.sample_columns import PackedSamples, SampleColumns, Senders, check_range
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from telemetry.packing import unpack
from telemetry.streams import Stream
from telemetry.wire import decode
from tests.fix_collector import NOW_US, FakeHost, S, random_reading

WINDOWS = Windows(Window.around(NOW_US, 7, 300), Window.around(NOW_US, 400, 300))
FAST = CATALOGUE.group(Group.FAST)


def opened(values: list[bytes]) -> list[Samples]:
    found = []
    for value in values:
        received = Received(Partition("t.samples", 0), Stream.SAMPLES, 0, None, value)
        message = open_record(received, WINDOWS)
        assert isinstance(message, Samples)
        found.append(message)
    return found


def senders(count: int, gpus: int, *, facility: int = 1, rack: int = 1, seq: int = 1) -> Senders:
    return Senders(
        np.arange(count, dtype=np.int32),
        np.full(count, facility, dtype=np.int32),
        np.full(count, rack, dtype=np.int32),
        np.arange(count * gpus, dtype=np.int32).reshape(count, gpus),
        np.ones(count, dtype=np.int64),
        np.full(count, seq, dtype=np.int64),
    )


def columns(values: list[bytes], who: Senders | None = None) -> SampleColumns:
    messages = opened(values)
    shape = messages[0].shape
    packed = PackedSamples(shape, messages[0].group, messages)
    return packed.columns(
        np.arange(len(messages)), who or senders(len(messages), shape.accelerators)
    )


def table(cells: list[Column]) -> list[list[Any]]:
    out = []
    for column in cells:
        assert column.values is not None
        listed: list[Any] = column.values.tolist()
        if column.missing is not None:
            listed = [None if m else v for v, m in zip(listed, column.missing, strict=True)]
        out.append(listed)
    return [list(row) for row in zip(*out, strict=True)]


def brute_force(values: list[bytes], period_us: int) -> list[list[Any]]:
    """Buckets of all values, one at a time."""
    buckets: dict[int, list[dict[str, int | None]]] = defaultdict(list)
    for value in values:
        message = decode(value)
        samples = unpack(message)
        gpus = len(next(iter(samples.columns.values()))) // len(samples.times_us)
        for tick, time_us in enumerate(samples.times_us):
            for gpu in range(gpus):
                cell = {name: column[tick * gpus + gpu] for name, column in samples.columns.items()}
                buckets[time_us // period_us].append(cell)
    rows = []
    for bucket, cells in sorted(buckets.items()):
        reasons = [cell.get("clock_event_reasons_bitmask") or 0 for cell in cells]
        row: list[Any] = [bucket * period_us - EPOCH_OFFSET_US, 1, len(cells)]
        row.append(sum(1 for bits in reasons if bits & rollup.THROTTLED_BITS))
        for metric in CATALOGUE.rollup():
            known = [v for cell in cells if (v := cell.get(metric.name)) is not None]
            row += [sum(known), len(known), min(known, default=None), max(known, default=None)]
        rows.append(row)
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_f33_sums_equal_a_recomputation(seed: int) -> None:
    chance = random.Random(seed)
    values = []
    for host in range(4):
        ticks = [NOW_US + tick * S + host * 7 * S for tick in range(5)]
        rows = [[random_reading(chance, FAST) for _ in range(3)] for _ in ticks]
        values.append(FakeHost(f"node-{host}", gpus=3).samples(ticks, rows=rows))
    parts = [rollup.tick_sums(columns(values[:2])), rollup.tick_sums(columns(values[2:]))]
    rows_, count = rollup.facility_rows(parts)
    assert table(rows_) == brute_force(values, rollup.FACILITY_PERIOD_US)
    assert count == len(table(rows_))
    assert table(rollup.rack_rows(parts)[0]) == brute_force(values, rollup.RACK_PERIOD_US)


def test_metrics_that_are_not_sent_are_counted_as_missing() -> None:
    metric = CATALOGUE.by_name["utilization_gpu_percent"]
    value = FakeHost().samples([NOW_US], 30, metrics=[metric])
    assert table(rollup.facility_rows([rollup.tick_sums(columns([value]))])[0]) == brute_force(
        [value], rollup.FACILITY_PERIOD_US
    )


def test_sums_come_in_key_order_over_facilities() -> None:
    value = FakeHost().samples([NOW_US + 20 * S, NOW_US])
    parts = [
        rollup.tick_sums(columns([value], senders(1, 2, facility=facility)))
        for facility in (9, 3, 9)
    ]
    keys = [(row[1], row[0]) for row in table(rollup.facility_rows(parts)[0])]
    assert keys == sorted(set(keys))
    assert len(keys) == 4


def test_f34_out_of_range_is_missing_and_counted() -> None:
    metric = CATALOGUE.by_name["utilization_gpu_percent"]
    column = np.array([[[0, 101, -1, 100]]], dtype=np.int16)
    absent = np.array([[[True, False, True, False]]])
    flags, wrong = check_range(metric, column, absent)
    assert flags is not None
    assert (flags.tolist(), wrong) == ([[[True, True, True, False]]], 1)
    assert check_range(metric, np.clip(column, 0, 100), None) == (None, 0)


def test_a_filler_under_a_missing_cell_is_not_out_of_range() -> None:
    metric = CATALOGUE.by_name["pcie_link_generation"]  # 1 or more
    column = np.array([[[0, 4]]], dtype=np.int16)
    flags, wrong = check_range(metric, column, np.array([[[True, False]]]))
    assert wrong == 0
    assert flags is not None
    assert flags.tolist() == [[[True, False]]]


def test_tick_times_outside_the_window_are_found_by_message() -> None:
    host = FakeHost()
    messages = opened(
        [
            host.samples([NOW_US, NOW_US + 1]),
            host.samples([NOW_US, NOW_US + 301 * S]),
            host.samples([NOW_US - 8 * 86_400 * S, NOW_US]),
        ]
    )
    packed = PackedSamples(messages[0].shape, Group.FAST, messages)
    assert packed.times_outside(WINDOWS.samples) == {
        1: NOW_US + 301 * S,
        2: NOW_US - 8 * 86_400 * S,
    }
    assert packed.times_outside(Window(0, 2 * NOW_US)) == {}


def test_state_takes_the_highest_number_of_the_latest_epoch() -> None:
    host = FakeHost()
    values = [host.samples([NOW_US], value) for value in (10, 20, 30)]
    who = senders(3, 2)
    who.host_ids[:] = 5
    who.boot_epochs[:] = [1, 2, 2]
    who.seqs[:] = [900, 7, 6]
    ((cells, count),) = live.newest_rows([columns(values, who)], Group.FAST)
    assert count == 1
    assert cells[5].values is not None
    assert cells[5].values.tolist() == [[20, 20]]
    assert list(live.newest_rows([columns(values, who)], Group.SLOW)) == []


def test_state_of_messages_of_different_shapes_is_one_row_a_host() -> None:
    first = columns([FakeHost("a").samples([NOW_US])], senders(1, 2, seq=2))
    second = columns([FakeHost("a").samples([NOW_US, NOW_US + S])], senders(1, 2, seq=1))
    rows = list(live.newest_rows([second, first], Group.FAST))
    assert [count for _, count in rows] == [1]
    assert rows[0][0][3].values is not None
    assert rows[0][0][3].values.tolist() == [2]


def test_a_mig_instance_is_in_no_sum_of_a_facility_or_a_rack() -> None:
    chance = random.Random(7)
    ticks = [NOW_US + tick * S for tick in range(3)]
    rows = [[random_reading(chance, FAST) for _ in range(3)] for _ in ticks]
    boards = FakeHost(gpus=2).samples(ticks, rows=[row[:2] for row in rows])
    with_instance = FakeHost(gpus=3).samples(ticks, rows=rows)
    who = replace(senders(1, 3), instances=np.array([[False, False, True]]))
    parts = [rollup.tick_sums(columns([with_instance], who))]
    assert table(rollup.facility_rows(parts)[0]) == brute_force([boards], rollup.FACILITY_PERIOD_US)
    assert table(rollup.rack_rows(parts)[0]) == brute_force([boards], rollup.RACK_PERIOD_US)
