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

-- name: chunk_to_recompress
-- The oldest chunk of samples that is over and was never made anew, or has got rows since.
select format('%%I.%%I', c.chunk_schema, c.chunk_name)
from timescaledb_information.chunks c
where c.hypertable_schema = current_schema()
    and c.hypertable_name in ('samples', 'slow_samples')
    and c.range_end < now() - %(after)s::interval
    and format('%%I.%%I', c.chunk_schema, c.chunk_name) <> all(%(left_alone)s::text[])
    and (
        -- 2: batches overlap, 8: rows beside the batches; both mean that rows have come since.
        _timescaledb_functions.chunk_status(
            format('%%I.%%I', c.chunk_schema, c.chunk_name)::regclass
        ) & 10 <> 0
        or not exists (
            select from recompressed_chunks r
            where r.chunk = format('%%I.%%I', c.chunk_schema, c.chunk_name)
        )
    )
order by c.range_end
limit 1;

-- name: recompress_whole
-- In batches as large as rows compress best in, or as the server allows, and never in place, where the
-- old batches would stay in the file; servers differ in which of these settings they know.
select set_config(
    s.name,
    case s.vartype when 'bool' then 'off' else least(10000, s.max_val::integer)::text end,
    false
)
from pg_settings s
where s.name in (
    'timescaledb.compression_batch_size_limit',
    'timescaledb.enable_segmentwise_recompression',
    'timescaledb.enable_in_memory_recompression'
);

-- name: recompress
-- Make a chunk anew: late rows for it wait, and towards the end its readers.
call convert_to_columnstore(%(chunk)s::regclass, if_not_columnstore => true, recompress => true);

-- name: note_recompressed
-- A chunk was made anew; chunks that are gone are forgotten.
with gone as (
    delete from recompressed_chunks
    where to_regclass(chunk) is null
)
insert into recompressed_chunks (chunk)
values (%(chunk)s)
on conflict (chunk) do update
set recompressed_at = now();

-- name: somebody_waits
-- Whether anybody but the server's own workers waits for a lock that this process holds.
select exists (
    select from pg_locks l
    left join pg_stat_activity a using (pid)
    where not l.granted
        and coalesce(a.backend_type, 'client backend') = 'client backend'
        and %(pid)s::integer = any(pg_blocking_pids(l.pid))
);

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
-- One collector at a time does a kind of upkeep; the lock goes with the connection.
select pg_try_advisory_lock(hashtext('fleetgauge ' || %(kind)s));

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

-- name: count_stale_boards
-- Boards that were not counted for a day, a few at a time.
select count_stale_boards(%(most)s);

-- name: count_stale_hosts
-- Hosts whose days were not added up for a day, a few at a time.
select count_stale_hosts(%(most)s);
