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

-- name: trim_facility_rollup
-- Old sums by facility.
delete from facility_rollup_10s
where bucket < %(before)s;

-- name: trim_rack_rollup
-- Old sums by rack.
delete from rack_rollup_1m
where bucket < %(before)s;

-- name: forget_collectors
-- Collectors that are long gone, so that the Pipeline page shows those that matter.
delete from collectors
where reported_at < now() - interval '1 day';
