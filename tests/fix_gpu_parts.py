"""Sums of single accelerators, made from samples that a test has written by itself."""

from datetime import UTC, datetime
from typing import Any

import psycopg

from collector import compaction, migrate
from telemetry.catalogue import CATALOGUE


def add_parts(db: psycopg.Connection[Any], since_s: float) -> None:
    """Make the parts of all samples from a time on, as if messages came every ten seconds."""
    compaction.make_room(db, migrate.tier_of(db), 2)
    since = datetime.fromtimestamp(since_s // 10 * 10, UTC)
    names, made = [], []
    for metric in CATALOGUE.rollup():
        total = "integer" if metric.storage == "i2" else "bigint"
        names += [f"{metric.name}_{part}" for part in ("sum", "count", "min", "max")]
        made += [
            f"coalesce(sum({metric.name}), 0)::{total} as {metric.name}_sum",
            f"count({metric.name})::smallint as {metric.name}_count",
            f"min({metric.name}) as {metric.name}_min",
            f"max({metric.name}) as {metric.name}_max",
        ]
    head = ["sample_rows", "throttled_rows", "clock_event_reasons_bitmask", "reader_status_code"]
    arrays = ", ".join(f"array_agg({name} order by gpu_id)" for name in ["gpu_id", *head, *names])
    db.execute("delete from gpu_rollup_parts where time >= %s", (since,))
    db.execute(
        "with ticks as (select date_bin('10 s', time, 'epoch') as time, host_id, gpu_id, "
        "count(*)::smallint as sample_rows, "
        "count(*) filter (where clock_event_reasons_bitmask & 232 <> 0)::smallint "
        "as throttled_rows, "
        "bit_or(clock_event_reasons_bitmask) as clock_event_reasons_bitmask, "
        f"max(reader_status_code) as reader_status_code, {', '.join(made)} "
        "from samples join accelerators using (gpu_id) where time >= %s group by 1, 2, 3) "
        f"insert into gpu_rollup_parts (time, host_id, gpu_ids, {', '.join([*head, *names])}) "
        f"select time, host_id, {arrays} from ticks group by 1, 2",
        (since,),
    )
