-- The Host page: one host with its accelerators, or all hosts of a rack.

-- name: host
-- What a host is, and its agent's newest heartbeat.
select
    h.host_id,
    h.driver_version,
    h.kernel_version,
    h.agent_version,
    h.provider,
    extract(epoch from h.first_seen)::float8 as first_seen_s,
    extract(epoch from a.time)::float8 as heartbeat_s,
    a.sample_interval_ms,
    a.tick_duration_us,
    a.spool_messages,
    a.resident_bytes,
    a.signed
from hosts h
left join agent_state a using (host_id)
where h.host_id = %(host_id)s;

-- name: accelerators
-- What the accelerators of a host are.
select
    gpu_id,
    index,
    uuid::text as uuid,
    serial,
    model,
    vbios_version,
    pci_address,
    board_part_number,
    slot_number,
    tray_index,
    module_id,
    memory_total_mebibytes,
    power_limit_default_milliwatts,
    temperature_slowdown_celsius,
    mig_enabled,
    ecc_enabled,
    unsupported
from accelerators
where host_id = %(host_id)s
order by index, gpu_id;

-- name: past
-- Raw samples of some accelerators, by step: means, and the extreme that matters of each.
select
    gpu_id,
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), time, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    avg(utilization_gpu_percent)::float8 as load,
    (avg(sm_active_permille) / 10)::float8 as sm,
    (avg(tensor_active_permille) / 10)::float8 as tensor,
    max(temperature_gpu_celsius)::float8 as heat,
    max(temperature_memory_celsius)::float8 as heat_memory,
    min(temperature_margin_celsius)::float8 as headroom,
    (avg(power_milliwatts) / 1000)::float8 as power,
    avg(clock_sm_megahertz)::float8 as clock,
    (max(memory_used_mebibytes) / 1024.0)::float8 as memory
from samples
where gpu_id = any(%(gpu_ids)s)
    and time >= to_timestamp(%(start_s)s)
    and time < to_timestamp(%(end_s)s)
group by 1, 2
order by 1, 2;

-- name: slow
-- The newest slow readings of an accelerator, as an object by column.
select to_jsonb(s) - 'gpu_id' as readings
from slow_samples s
where gpu_id = %(gpu_id)s
    and time >= to_timestamp(%(start_s)s)
order by time desc
limit 1;

-- name: fast
-- The newest fast readings of an accelerator, as an object by column.
select to_jsonb(s) - 'gpu_id' as readings
from samples s
where gpu_id = %(gpu_id)s
    and time >= to_timestamp(%(start_s)s)
order by time desc
limit 1;

-- name: events
-- What happened to a host and its accelerators, newest first.
select
    extract(epoch from e.time)::float8 as time_s,
    e.kind,
    e.code,
    e.message,
    h.host,
    a.index
from events e
join hosts h using (host_id)
left join accelerators a using (gpu_id)
where e.host_id = %(host_id)s
order by e.time desc
limit 50;
