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

-- name: hosts
-- Hosts that are new, or whose inventory came after a time: number and time of the last look.
select
    h.host_id,
    h.facility_id,
    h.rack_id,
    h.host,
    h.tray,
    r.hall,
    r.row,
    r.rack,
    extract(epoch from h.inventory_time)::float8 as inventory_s
from hosts h
join racks r using (rack_id)
where h.host_id > %(host_id)s or h.inventory_time >= to_timestamp(%(inventory_s)s)
order by h.host_id;

-- name: accelerators
-- Accelerators that are new, and all those of the given hosts.
select
    gpu_id,
    host_id,
    coalesce(index, 0) as index,
    present,
    model,
    temperature_slowdown_celsius
from accelerators
where gpu_id > %(gpu_id)s or host_id = any(%(host_ids)s)
order by gpu_id;

-- name: readings
-- The newest tick of each host that reported since a time. Asked with some overlap, since a row
-- becomes visible when its transaction ends, not at its `received_at`.
select
    s.host_id,
    extract(epoch from s.time)::float8 as time_s,
    extract(epoch from s.received_at)::float8 as received_s,
    coalesce(a.sample_interval_ms, 0) / 1000.0::float8 as interval_s,
    s.gpu_ids,
    s.utilization_gpu_percent,
    s.sm_active_permille,
    s.tensor_active_permille,
    s.memory_used_mebibytes,
    s.temperature_gpu_celsius,
    s.temperature_memory_celsius,
    s.temperature_margin_celsius,
    s.power_milliwatts,
    s.power_limit_milliwatts,
    s.clock_sm_megahertz,
    s.clock_event_reasons_bitmask,
    s.reader_status_code,
    s.ecc_uncorrected_volatile_count,
    s.remap_pending_flag,
    s.remap_failed_flag,
    s.recovery_action_code
from host_state s
left join agent_state a using (host_id)
where s.received_at >= to_timestamp(%(received_s)s);

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
