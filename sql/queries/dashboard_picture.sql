-- What the dashboard keeps in memory: the fleet's places, and the newest reading of everything.

-- name: facilities
-- All facilities; contract terms may change at any time, so these are read often.
select
    facility_id,
    tenant,
    facility,
    display_name,
    provider,
    region,
    note,
    contracted_accelerators,
    contracted_power_watts,
    extract(epoch from first_seen)::float8 as first_seen_s
from facilities
order by facility_id;

-- name: horizon
-- A transaction before which all have ended. Taken before a look at `hosts` and `accelerators`, it is
-- from where the next look goes on: what is written later has a younger `xmin`. The snapshot is another
-- one after every commit.
select
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint as horizon,
    pg_current_snapshot()::text as snapshot;

-- name: hosts
-- Hosts that are new or changed since a horizon; all of them where none is given.
select
    h.host_id,
    h.facility_id,
    h.rack_id,
    h.host,
    h.tray,
    r.hall,
    r.row,
    r.rack
from hosts h
join racks r using (rack_id)
where %(since)s::text is null or age(h.xmin) <= age(%(since)s::text::xid8::xid)
order by h.host_id;

-- name: accelerators
-- Accelerators that are new or changed since a horizon, all of them where none is given: one row,
-- a column of each, in the same order.
select
    count(*) as accelerators,
    array_send(array_agg(gpu_id)) as gpu_ids,
    array_send(array_agg(host_id)) as host_ids,
    array_send(array_agg(coalesce(index, 0)::integer)) as indices,
    array_send(array_agg(present::integer)) as present,
    array_send(array_agg((parent_uuid is not null)::integer)) as parts,
    array_send(array_agg(temperature_slowdown_celsius::integer)) as slowdown_celsius,
    array_agg(coalesce(model, '')) as models
from accelerators
where %(since)s::text is null or age(xmin) <= age(%(since)s::text::xid8::xid);

-- name: readings
-- The newest ticks of hosts that reported since a horizon, of all where none is given, and of named
-- hosts: a row for each number of accelerators, a column for each reading with the arrays of all
-- these hosts joined. A missing array is an empty one. Arrays are not unnested: that would cost ten
-- times as much; nor are wide rows sorted into groups, of which there are two or three.
with fresh as materialized (
    select
        s.*,
        cardinality(s.gpu_ids) as accelerators,
        coalesce(a.sample_interval_ms, 0) / 1000.0::float8 as interval_s
    from host_state s
    left join agent_state a using (host_id)
    where %(since)s::text is null
        or age(s.xmin) <= age(%(since)s::text::xid8::xid)
        or s.host_id = any(%(host_ids)s::integer[])
)
select
    sizes.accelerators,
    ticks.*
from (select distinct accelerators from fresh) sizes
cross join lateral (
    select
        array_agg(f.host_id) as host_ids,
        array_agg(coalesce(extract(epoch from f.time)::float8, 'NaN')) as time_s,
        array_agg(f.interval_s) as interval_s,
        string_agg(array_send(f.gpu_ids), null) as gpu_ids,
        string_agg(array_send(coalesce(f.utilization_gpu_percent, '{}')), null) as utilization_gpu_percent,
        string_agg(array_send(coalesce(f.sm_active_permille, '{}')), null) as sm_active_permille,
        string_agg(array_send(coalesce(f.tensor_active_permille, '{}')), null) as tensor_active_permille,
        string_agg(array_send(coalesce(f.memory_used_mebibytes, '{}')), null) as memory_used_mebibytes,
        string_agg(array_send(coalesce(f.temperature_gpu_celsius, '{}')), null) as temperature_gpu_celsius,
        string_agg(array_send(coalesce(f.temperature_memory_celsius, '{}')), null) as temperature_memory_celsius,
        string_agg(array_send(coalesce(f.temperature_margin_celsius, '{}')), null) as temperature_margin_celsius,
        string_agg(array_send(coalesce(f.power_milliwatts, '{}')), null) as power_milliwatts,
        string_agg(array_send(coalesce(f.power_limit_milliwatts, '{}')), null) as power_limit_milliwatts,
        string_agg(array_send(coalesce(f.clock_sm_megahertz, '{}')), null) as clock_sm_megahertz,
        string_agg(array_send(coalesce(f.clock_event_reasons_bitmask, '{}')), null) as clock_event_reasons_bitmask,
        string_agg(array_send(coalesce(f.reader_status_code, '{}')), null) as reader_status_code,
        string_agg(array_send(coalesce(f.ecc_uncorrected_volatile_count, '{}')), null) as ecc_uncorrected_volatile_count,
        string_agg(array_send(coalesce(f.remap_pending_flag, '{}')), null) as remap_pending_flag,
        string_agg(array_send(coalesce(f.remap_failed_flag, '{}')), null) as remap_failed_flag,
        string_agg(array_send(coalesce(f.recovery_action_code, '{}')), null) as recovery_action_code
    from fresh f
    where f.accelerators = sizes.accelerators
) ticks;

-- name: queues
-- The newest snapshot of each queue.
select
    facility_id,
    source,
    queue,
    unit,
    extract(epoch from time)::float8 as time_s,
    waiting,
    running,
    gpus_waiting,
    gpus_running,
    gpu_seconds_waiting,
    oldest_wait_seconds,
    wait_milliseconds,
    arrivals_per_second,
    completions_per_second
from queue_state
order by facility_id, source, queue
limit 5000;
