-- name: make_partition
-- A range partition of a table, unless it is there.
select make_partition(%(parent)s, %(starts_at)s, %(ends_at)s);

-- name: drop_partitions
-- Partitions that end before a time.
select drop_partitions(%(parent)s, %(before)s);

-- name: drop_chunks
-- The same where the table is a hypertable.
select count(*)
from drop_chunks(%(parent)s, older_than => %(before)s::timestamptz);

-- name: has_policy
-- Whether TimescaleDB already drops what is older than that.
select exists (
    select from timescaledb_information.jobs
    where proc_name = 'policy_retention'
        and hypertable_name = %(parent)s
        and (config ->> 'drop_after')::interval = %(kept)s::interval
);

-- name: forget_policy
-- Drop an older policy, if there is one.
select remove_retention_policy(%(parent)s::regclass, if_exists => true);

-- name: set_policy
-- Have TimescaleDB drop what is older.
select add_retention_policy(%(parent)s::regclass, drop_after => %(kept)s::interval);

-- name: closed_partitions
-- Partitions that are over and have no valid index by accelerator, the newest first.
select n.nspname, c.relname
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
join pg_namespace n on n.oid = c.relnamespace
where i.inhparent = any(%(parents)s::regclass[])
    and (regexp_match(
        pg_get_expr(c.relpartbound, c.oid), $r$TO \('([^']+)'\)$r$
    ))[1]::timestamptz <= %(over_since)s
    and not exists (
        select from pg_index x
        join pg_attribute a on a.attrelid = x.indrelid and a.attnum = x.indkey[0]
        where x.indrelid = c.oid
            and x.indisvalid
            and a.attname = 'gpu_id'
    )
order by c.relname desc;

-- name: closed_chunks
-- The same where the table is a hypertable.
select h.chunk_schema, h.chunk_name
from timescaledb_information.chunks h
where h.hypertable_name = any(%(parents)s)
    and h.hypertable_schema = current_schema()
    and h.range_end <= %(over_since)s
    and not exists (
        select from pg_index x
        join pg_attribute a on a.attrelid = x.indrelid and a.attnum = x.indkey[0]
        where x.indrelid = format('%%I.%%I', h.chunk_schema, h.chunk_name)::regclass
            and x.indisvalid
            and a.attname = 'gpu_id'
    )
order by h.range_end desc;

-- name: try_upkeep
-- One collector at a time looks after what is stored; the lock goes with the connection.
select pg_try_advisory_lock(hashtext('fleetgauge upkeep'));

-- name: trim_facility_10s
-- Old sums by facility and 10 s.
delete from facility_rollup_10s
where bucket < %(before)s;

-- name: trim_facility_1m
-- Old sums by facility and minute.
delete from facility_rollup_1m
where bucket < %(before)s;

-- name: trim_facility_1h
-- Old sums by facility and hour.
delete from facility_rollup_1h
where bucket < %(before)s;

-- name: trim_rack_1m
-- Old sums by rack and minute.
delete from rack_rollup_1m
where bucket < %(before)s;

-- name: trim_rack_1h
-- Old sums by rack and hour.
delete from rack_rollup_1h
where bucket < %(before)s;

-- name: trim_spread
-- Old spreads by a minute or five.
delete from facility_spread
where bucket < %(before)s
    and step_s < 3600;

-- name: trim_spread_1h
-- Old spreads by hour.
delete from facility_spread
where bucket < %(before)s
    and step_s = 3600;

-- name: forget_collectors
-- Collectors that are long gone, so that the Pipeline page shows those that matter.
delete from collectors
where reported_at < now() - interval '1 day';
