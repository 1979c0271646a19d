-- Partitions by time for the rollups of single accelerators; the collector makes them ahead.
-- Plain PostgreSQL. Locks the three tables for a moment; they are new and empty.

alter table gpu_rollup_parts rename to gpu_rollup_parts_plain;
alter table gpu_rollup_1m rename to gpu_rollup_1m_plain;
alter table gpu_rollup_1h rename to gpu_rollup_1h_plain;
alter index gpu_rollup_parts_host rename to gpu_rollup_parts_plain_host;
alter index gpu_rollup_1m_gpu rename to gpu_rollup_1m_plain_gpu;
alter index gpu_rollup_1h_gpu rename to gpu_rollup_1h_plain_gpu;

create table gpu_rollup_parts (like gpu_rollup_parts_plain including defaults including comments)
partition by range (stored_at);
create table gpu_rollup_1m (like gpu_rollup_1m_plain including defaults including comments)
partition by range (bucket);
create table gpu_rollup_1h (like gpu_rollup_1h_plain including defaults including comments)
partition by range (bucket);
drop table gpu_rollup_parts_plain, gpu_rollup_1m_plain, gpu_rollup_1h_plain;

create index gpu_rollup_parts_host on gpu_rollup_parts (host_id, time);
create index gpu_rollup_1m_gpu on gpu_rollup_1m (gpu_id, bucket);
create index gpu_rollup_1h_gpu on gpu_rollup_1h (gpu_id, bucket);

create function gpu_rollup_part_hours()
returns table (starts_at timestamptz)
language sql
stable
as $$
    select (regexp_match(
        pg_get_expr(child.relpartbound, child.oid), $r$FROM \('([^']+)'\)$r$
    ))[1]::timestamptz
    from pg_inherits
    join pg_class child on child.oid = pg_inherits.inhrelid
    where pg_inherits.inhparent = 'gpu_rollup_parts'::regclass
$$;
comment on function gpu_rollup_part_hours is 'the hours of arrival that gpu_rollup_parts has room for';
