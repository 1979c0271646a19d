"""Batches of a columnstore that are made here and not by the server, on TimescaleDB itself."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from collector import columnstore, recompression
from collector.column_batches import batches_of
from collector.copy_rows import Column
from collector.copy_samples import COMPRESSED_ROWS_MIN
from telemetry.catalogue import CATALOGUE
from telemetry.errors import RetryableError
from telemetry.metrics import Group
from telemetry.packing import Reading
from telemetry.streams import Stream
from tests.fix_collector import NOW_US, FakeHost, S, Shelf, random_reading
from tests.fix_services import DatabaseServer

TICKS = 10
STATUS = (
    "select _timescaledb_functions.chunk_status("
    "format('%I.%I', chunk_schema, chunk_name)::regclass) "
    "from timescaledb_information.chunks where hypertable_name = 'samples'"
)
BACKWARDS = (
    "select count(*) from (select gpu_id, time, lag(gpu_id) over () as gpu_before, "
    "lag(time) over () as time_before "
    "from (select gpu_id, time from samples order by gpu_id, time offset 0) sorted) pairs "
    "where (gpu_before, time_before) > (gpu_id, time)"
)


class Fleet:
    """Forty hosts whose values are remembered; a round of all is a batch that is worth it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.hosts = [FakeHost(f"node-{number}", gpus=8) for number in range(40)]
        self.metrics = CATALOGUE.group(Group.FAST)
        self.sent: dict[tuple[datetime, bytes], tuple[int | None, ...]] = {}

    def round(self, start_us: int, holes: float = 0.0) -> list[bytes]:
        """Messages of every host, in no order."""
        ticks = [start_us + tick * S for tick in range(TICKS)]
        messages = []
        for host in self.hosts:
            rows: list[list[Reading]] = [[self._reading(holes) for _ in host.uuids] for _ in ticks]
            messages.append(host.samples(ticks, rows=rows))
            for time_us, tick in zip(ticks, rows, strict=True):
                at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
                for uuid, reading in zip(host.uuids, tick, strict=True):
                    self.sent[at, uuid] = tuple(reading[m.name] for m in self.metrics)
        self.chance.shuffle(messages)
        return messages

    def _reading(self, holes: float) -> Reading:
        reading = random_reading(self.chance, self.metrics)
        for metric in self.metrics:
            if reading[metric.name] is None or self.chance.random() >= holes:
                value = reading[metric.name]
                reading[metric.name] = metric.minimum if value is None else value
            else:
                reading[metric.name] = None
        return reading

    def stored(self, shelf: Shelf) -> dict[tuple[datetime, bytes], tuple[Any, ...]]:
        names = ", ".join(f"s.{metric.name}" for metric in self.metrics)
        rows = shelf.rows(
            f"select s.time, a.uuid, {names} from samples s join accelerators a using (gpu_id)"
        )
        return {(time, uuid.bytes): tuple(values) for time, uuid, *values in rows}


@pytest.fixture(autouse=True)
def timescale_only(database_server: DatabaseServer) -> None:
    if database_server.tier != "timescale":
        pytest.skip("only TimescaleDB with the Timescale licence keeps columns")


@pytest.fixture
def made_here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were made into batches here, a statement each."""
    counts: list[int] = []
    made = columnstore.rows_of_batches

    def counted(names: Any, columns: Any, count: int) -> Any:
        counts.append(count)
        return made(names, columns, count)

    monkeypatch.setattr("collector.copy_samples.rows_of_batches", counted)
    monkeypatch.setattr("collector.copy_samples.ROWS_A_HOLE_COUNT", 1)  # batches here are few
    return counts


def test_batches_made_here_hold_every_value_and_hole_and_are_read_in_order(
    shelf: Shelf, made_here: list[int]
) -> None:
    fleet = Fleet(3)
    rows = TICKS * 8 * len(fleet.hosts)
    assert rows >= COMPRESSED_ROWS_MIN
    shelf.store(Stream.SAMPLES, *fleet.round(NOW_US - 200 * S))
    assert made_here == []  # the server makes the columnstore with a chunk's first rows
    for number, holes in enumerate((0.0, 0.01, 0.9)):
        shelf.store(Stream.SAMPLES, *fleet.round(NOW_US - (150 - 20 * number) * S, holes))
    assert made_here == [rows] * 3
    assert fleet.stored(shelf) == fleet.sent
    assert shelf.one("select count(*) from samples") == len(fleet.sent)
    assert shelf.one(BACKWARDS) == 0
    (gpu,) = shelf.rows("select min(gpu_id), max(gpu_id) from accelerators")
    for gpu_id in gpu:
        found = shelf.rows(
            "select count(*), count(distinct time) from samples where gpu_id = %(gpu)s",
            {"gpu": gpu_id},
        )
        assert found == [(4 * TICKS, 4 * TICKS)]


def test_a_chunk_that_was_made_anew_takes_late_batches_and_is_made_anew_again(
    shelf: Shelf, made_here: list[int]
) -> None:
    fleet = Fleet(5)
    shelf.store(Stream.SAMPLES, *fleet.round(NOW_US - 200 * S))
    shelf.store(Stream.SAMPLES, *fleet.round(NOW_US - 180 * S, 0.01))
    _make_anew(shelf)
    assert shelf.one(STATUS) == 1
    shelf.store(Stream.SAMPLES, *fleet.round(NOW_US - 160 * S))
    assert shelf.one(STATUS) & columnstore.OVERLAPS, "the server must not rely on an order"
    shelf.store(Stream.SAMPLES, *fleet.round(NOW_US - 140 * S, 0.01))
    assert len(made_here) == 2
    assert shelf.one(BACKWARDS) == 0
    _make_anew(shelf)
    assert fleet.stored(shelf) == fleet.sent


def test_rows_with_holes_all_over_are_left_to_the_server(
    shelf: Shelf, made_here: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.copy_samples.ROWS_A_HOLE_COUNT", 100)
    fleet = Fleet(11)
    for back_s, holes in ((200, 0.0), (180, 0.3), (160, 0.0)):
        shelf.store(Stream.SAMPLES, *fleet.round(NOW_US - back_s * S, holes))
    assert len(made_here) == 1
    assert fleet.stored(shelf) == fleet.sent
    assert shelf.one(BACKWARDS) == 0


def test_rows_that_lie_in_two_chunks_are_left_to_the_server(
    shelf: Shelf, made_here: list[int]
) -> None:
    fleet = Fleet(6)
    boundary_us = NOW_US // (900 * S) * 900 * S
    for back_s in (30, 5, 25):
        shelf.store(Stream.SAMPLES, *fleet.round(boundary_us - back_s * S))
    assert len(made_here) == 1
    assert fleet.stored(shelf) == fleet.sent


def test_an_unknown_metadata_column_leaves_rows_to_the_server(
    shelf: Shelf, made_here: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(columnstore._METADATA, "_ts_meta_max_2")
    fleet = Fleet(7)
    for back_s in (200, 180):
        shelf.store(Stream.SAMPLES, *fleet.round(NOW_US - back_s * S))
    assert made_here == []
    assert fleet.stored(shelf) == fleet.sent


def test_a_chunk_that_was_dropped_is_made_again(shelf: Shelf, made_here: list[int]) -> None:
    fleet = Fleet(8)
    for back_s in (200, 180):
        shelf.store(Stream.SAMPLES, *fleet.round(NOW_US - back_s * S))
    shelf.rows("select drop_chunks('samples', now() + interval '100 years')")
    fleet.sent.clear()
    messages = fleet.round(NOW_US - 160 * S)
    with pytest.raises(RetryableError, match="is gone"):
        shelf.store(Stream.SAMPLES, *messages)
    shelf.writer.forget()
    shelf.writer.store(shelf.log[-len(messages) :], shelf.claims)
    assert fleet.stored(shelf) == fleet.sent
    assert len(made_here) == 1


def test_a_server_that_reads_something_else_compresses_by_itself(
    shelf: Shelf, made_here: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_off(column: Any, count: int) -> list[bytes]:
        return real(Column(column.values + np.int64(1)), count)

    real = batches_of
    monkeypatch.setattr(columnstore, "batches_of", one_off)
    shelf.start()
    monkeypatch.setattr(columnstore, "batches_of", real)
    fleet = Fleet(9)
    for back_s in (200, 180):
        shelf.store(Stream.SAMPLES, *fleet.round(NOW_US - back_s * S))
    assert made_here == []
    assert fleet.stored(shelf) == fleet.sent


def _make_anew(shelf: Shelf) -> None:
    """Let upkeep do its work now, on every chunk."""
    shelf.connection.execute("delete from recompressed_chunks")
    while chunk := recompression.next_due(shelf.connection, after=timedelta(days=-36_500)):
        recompression.make_anew(shelf.connection, chunk)
