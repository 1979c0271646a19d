"""What the database holds, read past the product: rows to compare, and its own books to check.

Owns the torture's SQL. Nothing here is used by the product, and nothing of the product is used
here but its tables.
"""

from collections import Counter
from collections.abc import Iterator

import psycopg

from tests.torture.tally import Row
from tests.torture.tallying_agent import EVENT_WORD, METRICS

_MICROSECONDS = "(extract(epoch from {time}) * 1000000)::bigint"
_ROWS = {
    "samples": (
        f"select host, {_MICROSECONDS.format(time='s.time')}, a.index::integer, "
        + ", ".join(f"s.{name}" for name in METRICS)
        + " from samples s join accelerators a using (gpu_id) join hosts using (host_id)"
    ),
    "events": (
        f"select host, {_MICROSECONDS.format(time='time')}, code, message"
        f" from events join hosts using (host_id) where message like '{EVENT_WORD} %'"
    ),
    "queues": (
        f"select host, {_MICROSECONDS.format(time='time')}, queue, waiting"
        " from queue_samples join hosts using (host_id)"
    ),
}
# Each returns rows where the product contradicts itself.
_CONTRADICTIONS = {
    "messages neither stored nor explained": (
        "select h.host, g.stream, g.first_seq, g.last_seq from sequence_gaps g"
        " join hosts h using (host_id) where g.reason is null"
    ),
    "messages written off": (
        "select h.host, g.stream, g.first_seq, g.last_seq, g.reason from sequence_gaps g"
        " join hosts h using (host_id) where g.reason is not null"
    ),
    "accounts that do not balance": (
        "select host_id, stream, boot_epoch, last_seq, stored_messages from host_marks"
        " where last_seq <> stored_messages or last_sent_seq > last_seq"
    ),
    "messages in quarantine": "select reason, detail from quarantine",
    "ranges of the log that were lost": "select * from lost_ranges",
    "state that is not the newest row": (
        "select host, state.time, newest.time from host_state state join hosts using (host_id)"
        " join (select host_id, max(time) as time from samples"
        " join accelerators using (gpu_id) group by 1) newest using (host_id)"
        " where state.time <> newest.time"
    ),
    "facility sums unlike a recomputation": (
        "select * from (select date_bin('10 s', time, 'epoch') as bucket, facility_id,"
        " count(*), coalesce(sum(power_milliwatts), 0)::bigint from samples"
        " join accelerators using (gpu_id) join hosts using (host_id) group by 1, 2) again"
        " full join (select bucket, facility_id, sample_rows, power_milliwatts_sum"
        " from facility_rollup_10s) kept using (bucket, facility_id)"
        " where again.count is distinct from kept.sample_rows"
        " or again.coalesce is distinct from kept.power_milliwatts_sum"
    ),
}
# What a second reading of the whole log must leave as it is. Left out, because they may differ:
# owner epochs, counts of repeats, versions of marks, times at which something was stored or said.
_UNCHANGED = {
    table: f"select count(*), sum(hashtextextended(({columns})::text, 0)) from {table} t"
    for table, columns in {
        "samples": "t",
        "slow_samples": "t",
        "queue_samples": "t",
        "facility_rollup_10s": "t",
        "rack_rollup_1m": "t",
        "events": "time, host_id, gpu_id, kind, code, message, boot_epoch, seq, position",
        "host_marks": "host_id, stream, boot_epoch, last_seq, stored_messages, stored_rows",
        "sequence_gaps": "host_id, stream, boot_epoch, first_seq, last_seq, reason",
        "host_state": "host_id, time, slow_time, boot_epoch, seq, power_milliwatts",
        "hosts": "host_id, host, facility_id, rack_id",
        "accelerators": "gpu_id, host_id, uuid, index, present",
        "stream_offsets": "topic_id, partition, next_offset, backlog",
    }.items()
}
_IMPATIENT = "-c lock_timeout=2s -c statement_timeout=5s"


def stored(url: str) -> Counter[Row]:
    """Return how often each row is stored."""
    found: Counter[Row] = Counter()
    with psycopg.connect(url) as connection:
        for stream, query in _ROWS.items():
            for host, *cells in connection.execute(query):
                found[stream, host, *cells] += 1
    return found


def contradictions(url: str) -> Iterator[str]:
    """Yield one sentence for each point in which the product's books are wrong."""
    with psycopg.connect(url) as connection:
        for sentence, query in _CONTRADICTIONS.items():
            rows = connection.execute(query).fetchall()
            if rows:
                yield f"{len(rows)} {sentence}: {rows[:3]}"


def checksums(url: str) -> dict[str, tuple[object, ...]]:
    """Return number and checksum of the rows of every table that a replay must not change."""
    with psycopg.connect(url) as connection:
        return {
            table: connection.execute(query).fetchone() or () for table, query in _UNCHANGED.items()
        }


def rewind(url: str, messages: int | None = None) -> None:
    """Set the offsets of all logs back by so many messages, or to the start."""
    with psycopg.connect(url, connect_timeout=3, options=_IMPATIENT) as connection:
        connection.execute(
            "update stream_offsets set next_offset = greatest(0, next_offset - %s)"
            " where retired_at is null",
            [2**62 if messages is None else messages],
        )


def offsets(url: str) -> dict[tuple[str, int], int]:
    """Return up to where every log is stored whole, by topic and partition."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "select topic, partition, coalesce(lower(backlog), next_offset) from stream_offsets"
            " where retired_at is null"
        )
        return {(topic, partition): offset for topic, partition, offset in rows}


def sessions(url: str) -> int:
    """Return how many sessions there are now, our own left out."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity"
            " where backend_type = 'client backend' and pid <> pg_backend_pid()"
        ).fetchone()
    return int(row[0]) if row else 0
