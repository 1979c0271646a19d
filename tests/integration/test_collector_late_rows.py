"""Late rows for chunks that are compressed, on TimescaleDB with its own licence."""

import random
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from collector import compaction, derived, migrate, recompression
from collector.tier import Tier
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from telemetry.streams import Stream
from tests.fix_collector import NOW_US, FakeHost, FixedClock, S, random_reading
from tests.fix_pglite import LoneShelf
from tests.fix_rollups import assert_all_equal

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("copies_are_inserted")]
LATER_US = NOW_US + 7200 * S
TICKS = 6
COMPRESSED = (
    "select count(*), count(*) filter (where is_compressed) from timescaledb_information.chunks"
    " where hypertable_name in ('samples', 'slow_samples')"
)
AT_ONCE = timedelta(hours=-1)


@pytest.fixture
def shelf(pglite_url: str, fixed_clock: FixedClock) -> Iterator[LoneShelf]:
    with psycopg.connect(pglite_url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("create extension if not exists timescaledb")
        migrate.migrate(connection)
    made = LoneShelf(pglite_url, fixed_clock)
    yield made
    made.connection.close()


def test_f32_late_rows_for_compressed_chunks_are_stored_once_and_counted_in_the_sums(
    shelf: LoneShelf,
) -> None:
    assert migrate.tier_of(shelf.connection) is Tier.TIMESCALE
    values = random.Random(32)
    hosts = [FakeHost(f"node-{number}", facility=f"hall-{number % 2}") for number in range(4)]
    stored = 0
    for delay_s in (0, 3, 9):  # the later ones lie between and beside rows that are compressed
        messages = [_message(host, group, delay_s, values) for host in hosts for group in Group]
        shelf.store(Stream.SAMPLES, *messages)
        stored += TICKS * 2 * len(hosts)
        derived.make_due(shelf.connection, LATER_US)
        compaction.move(shelf.connection, Tier.TIMESCALE, kept=AT_ONCE)
        for table in ("samples", "slow_samples"):
            assert shelf.one(f"select count(*) from {table}") == stored
            twice = f"select from {table} group by gpu_id, time having count(*) > 1"
            assert shelf.one(f"select count(*) from ({twice}) as rows") == 0
        assert_all_equal(shelf)
        if not delay_s:
            _compress(shelf)
    assert recompression.next_due(shelf.connection, after=timedelta(days=-36_500)) is not None
    shelf.replay()
    _compress(shelf)
    assert shelf.one("select count(*) from samples") == stored
    assert_all_equal(shelf)


def _message(host: FakeHost, group: Group, delay_s: int, values: random.Random) -> bytes:
    metrics = CATALOGUE.group(group)
    times = [NOW_US - (900 + delay_s - 5 * tick) * S for tick in range(TICKS)]
    rows = [[random_reading(values, metrics) for _ in host.uuids] for _ in times]
    return host.samples(times, group=group, rows=rows)


def _compress(shelf: LoneShelf) -> None:
    """Let upkeep do its work on every chunk that is due."""
    while chunk := recompression.next_due(shelf.connection, after=timedelta(days=-36_500)):
        recompression.make_anew(shelf.connection, chunk)
    ((chunks, compressed),) = shelf.rows(COMPRESSED)
    assert 0 < chunks == compressed
