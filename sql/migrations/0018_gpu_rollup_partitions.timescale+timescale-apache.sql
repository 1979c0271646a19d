-- Chunks by time for the rollups of single accelerators. TimescaleDB.
-- Locks the three tables for a moment; they are new and empty.

select create_hypertable('gpu_rollup_parts', by_range('stored_at', interval '1 hour'), create_default_indexes => false);
select create_hypertable('gpu_rollup_1m', by_range('bucket', interval '1 day'), create_default_indexes => false);
select create_hypertable('gpu_rollup_1h', by_range('bucket', interval '30 days'), create_default_indexes => false);

create function gpu_rollup_part_hours()
returns table (starts_at timestamptz)
language sql
stable
as $$
    select range_start
    from timescaledb_information.chunks
    where hypertable_schema = current_schema()
        and hypertable_name = 'gpu_rollup_parts'
$$;
comment on function gpu_rollup_part_hours is 'the hours of arrival that gpu_rollup_parts has room for';
