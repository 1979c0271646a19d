-- Samples in columns, compressed as they are copied; a batch so made holds some seconds of many
-- accelerators. A job makes every chunk anew once it is past: accelerator by accelerator, and in
-- larger batches (docs/decisions/0006-columnstore.md). Chunks are short, since late rows wait while
-- theirs is made anew. Locks the sample tables for a moment; chunks that are there stay as they are.

select set_chunk_time_interval('samples', interval '15 minutes');
select set_chunk_time_interval('slow_samples', interval '6 hours');
alter table samples set (
    timescaledb.enable_columnstore,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'gpu_id, time'
);
alter table slow_samples set (
    timescaledb.enable_columnstore,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'gpu_id, time'
);

create table recompressed_chunks (
    chunk text primary key,
    recompressed_at timestamptz not null default now()
);
comment on table recompressed_chunks is 'chunks that were made anew after their time had passed; what comes later still is told by the chunk''s own status';

create procedure recompress_samples(job_id integer, config jsonb)
language plpgsql
as $$
declare
    name text;
begin
    delete from recompressed_chunks r
    where to_regclass(r.chunk) is null;
    for name in
        select format('%I.%I', c.chunk_schema, c.chunk_name)
        from timescaledb_information.chunks c
        where c.hypertable_name in ('samples', 'slow_samples')
            and c.range_end < now() - (config ->> 'after')::interval
        order by c.range_end
    loop
        -- 2: batches overlap, 8: rows beside the batches; both mean that rows have come since.
        if _timescaledb_functions.chunk_status(name::regclass) & 10 <> 0
            or not exists (select from recompressed_chunks r where r.chunk = name)
        then
            perform set_config('timescaledb.compression_batch_size_limit', config ->> 'batch_rows', false);
            -- In place, the old batches would stay in the file; whole, there is a new file.
            perform set_config(s.name, 'off', false)
            from pg_settings s
            where s.name in (
                'timescaledb.enable_segmentwise_recompression',
                'timescaledb.enable_in_memory_recompression'
            );
            call convert_to_columnstore(name::regclass, if_not_columnstore => true, recompress => true);
            insert into recompressed_chunks (chunk)
            values (name)
            on conflict (chunk) do update
            set recompressed_at = excluded.recompressed_at;
            commit;
        end if;
    end loop;
end
$$;
select add_job('recompress_samples', interval '5 minutes', config => '{"after": "15 minutes", "batch_rows": "10000"}');
