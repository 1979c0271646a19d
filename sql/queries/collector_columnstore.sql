-- Rows that are written into a chunk's columnstore as they are kept there. TimescaleDB, timescale tier.

-- name: chunk_of
-- The chunk that holds a span of time, if one does.
select chunk_schema, chunk_name, range_start, range_end
from timescaledb_information.chunks
where hypertable_schema = current_schema()
    and hypertable_name = %(parent)s
    and range_start <= %(first)s
    and range_end > %(last)s;

-- name: columnstore_of
-- Where a chunk keeps its columns and which, what they are sorted by, and its status: 1 has columns,
-- 2 their batches overlap, 4 is frozen.
select
    n.nspname,
    c.relname,
    array(
        select a.attname::text
        from pg_attribute a
        where a.attrelid = c.oid
            and a.attnum > 0
            and not a.attisdropped
        order by a.attnum
    ),
    s.orderby = array['gpu_id', 'time'] and not true = any(s.orderby_desc) and cardinality(s.segmentby) = 0,
    _timescaledb_functions.chunk_status(s.relid)
from _timescaledb_catalog.compression_settings s
join pg_class c on c.oid = s.compress_relid
join pg_namespace n on n.oid = c.relnamespace
where s.relid = format('%%I.%%I', %(schema)s::text, %(chunk)s::text)::regclass;

-- name: unpack
-- What the server reads from a compressed value that we have made.
select _timescaledb_functions.compressed_data_to_array(
    convert_from(%(value)s, 'UTF8')::_timescaledb_internal.compressed_data, null::bigint
);

-- name: compress_copies
-- Whether the next copies of this transaction are compressed by the server on the way in, and whether
-- their rows come in the order of the columnstore; otherwise the server sorts, and notes that the
-- chunk's batches overlap.
select
    set_config('timescaledb.enable_direct_compress_copy', %(on)s, true),
    set_config('timescaledb.enable_direct_compress_copy_client_sorted', %(ordered)s, true);
