"""Rollups held against a recomputation from the rows, in plain SQL."""

from telemetry.catalogue import CATALOGUE
from tests.fix_collector import Shelf

ROLLED = [metric.name for metric in CATALOGUE.rollup()]


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
