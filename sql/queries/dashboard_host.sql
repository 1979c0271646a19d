-- The Host page, and the views of a rack and of one accelerator below it.

-- name: host
-- What is known of a host apart from its readings.
select
    h.host,
    h.provider,
    h.driver_version,
    h.library_version,
    h.kernel_version,
    coalesce(s.agent_version, h.agent_version) as agent_version,
    extract(epoch from h.first_seen)::float8 as first_seen_s,
    extract(epoch from s.time)::float8 as agent_s,
    s.sample_interval_ms,
    s.spool_messages,
    extract(epoch from s.spool_oldest)::float8 as spool_oldest_s,
    s.signed
from hosts h
left join agent_state s using (host_id)
where h.host_id = %(host_id)s;

-- name: accelerators
-- Who the accelerators of a host are, and what they are made for.
select
    gpu_id,
    uuid::text as uuid,
    index,
    present,
    vendor,
    model,
    serial,
    board_part_number,
    vbios_version,
    pci_address,
    chassis_serial,
    slot_number,
    tray_index,
    module_id,
    memory_total_mebibytes,
    power_limit_default_milliwatts,
    power_limit_max_milliwatts,
    temperature_slowdown_celsius,
    temperature_shutdown_celsius,
    temperature_memory_max_celsius,
    clock_sm_max_megahertz,
    pcie_generation_max,
    pcie_width_max_lanes,
    nvlinks_count,
    mig_enabled,
    ecc_enabled,
    persistence_enabled,
    unsupported,
    extract(epoch from first_seen)::float8 as first_seen_s,
    extract(epoch from inventory_time)::float8 as inventory_s
from accelerators
where host_id = %(host_id)s
order by index, gpu_id;

-- name: trail
-- How the accelerators of a host fared, by step: means of load, the worst of everything else.
select
    r.gpu_id,
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), r.bucket, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    max(r.reader_status_code) as status,
    bit_or(r.clock_event_reasons_bitmask) as reasons,
    (sum(r.utilization_gpu_percent_sum)
        / nullif(sum(r.utilization_gpu_percent_count), 0)::numeric)::float8 as load,
    (sum(r.sm_active_permille_sum)
        / nullif(sum(r.sm_active_permille_count), 0)::numeric / 10)::float8 as sm,
    min(coalesce(
        r.temperature_margin_celsius_min,
        a.temperature_slowdown_celsius - r.temperature_gpu_celsius_max
    ))::float8 as headroom,
    max(r.temperature_memory_celsius_max)::float8 as hbm,
    max(r.power_milliwatts_max)::float8 / 1000 as power,
    max(r.memory_used_mebibytes_max)::float8 / 1024 as memory
from gpu_rollup(
    %(step_s)s,
    %(host_id)s,
    %(gpu_ids)s,
    to_timestamp(%(start_s)s),
    to_timestamp(%(end_s)s)
) r
join accelerators a using (gpu_id)
group by 1, 2
order by 1, 2;

-- name: events
-- What happened on a host, or on one accelerator of it, newest first.
select
    extract(epoch from e.time)::float8 as time_s,
    e.kind,
    e.code,
    e.message,
    e.detail,
    e.gpu_id,
    a.index,
    h.host,
    p.meaning,
    p.severity,
    p.action
from events e
join hosts h using (host_id)
left join accelerators a using (gpu_id)
left join xid_policy p on e.kind in ('xid', 'xid_burst') and p.code = e.code
where e.host_id = %(host_id)s
    and (%(gpu_id)s::integer is null or e.gpu_id = %(gpu_id)s::integer)
    and e.time >= to_timestamp(%(start_s)s)
    and e.time < to_timestamp(%(end_s)s)
order by e.time desc
limit 200;

-- name: alerts
-- Alerts of a host, or of one accelerator of it, that were open in a span of time.
select
    l.alert_id,
    l.incident_id,
    l.rule,
    l.severity,
    l.state,
    l.summary,
    l.action,
    l.inhibited_by,
    l.silenced_by,
    l.acknowledged_by,
    a.index,
    extract(epoch from l.started_at)::float8 as started_s,
    extract(epoch from l.resolved_at)::float8 as resolved_s
from alerts l
left join accelerators a using (gpu_id)
where l.host_id = %(host_id)s
    and (%(gpu_id)s::integer is null or l.gpu_id = %(gpu_id)s::integer)
    and l.started_at < to_timestamp(%(end_s)s)
    and (l.state <> 'resolved' or l.resolved_at >= to_timestamp(%(start_s)s))
order by
    l.state = 'resolved',
    array_position(array['critical', 'warning', 'info'], l.severity),
    l.started_at desc
limit 50;

-- name: states
-- What was not normal of some accelerators in a span of time. Intervals that began in the same step are one row, so that
-- no more come than a screen shows. Those of one accelerator and subject do not overlap: of all that began before the
-- span, only the last can reach into it.
select
    i.gpu_id,
    i.subject,
    i.state,
    extract(epoch from min(i.started_at))::float8 as started_s,
    extract(epoch from max(i.ended_at))::float8 as ended_s,
    bool_or(i.ended_at is null) as is_open,
    count(*)::integer as times,
    extract(epoch from sum(
        least(coalesce(i.ended_at, to_timestamp(%(end_s)s)), to_timestamp(%(end_s)s))
        - greatest(i.started_at, to_timestamp(%(start_s)s))
    ))::float8 as lasted_s
from unnest(%(gpu_ids)s::integer[]) as w (gpu_id)
cross join (values ('reader'), ('slowdown'), ('health')) as s (subject)
cross join lateral (
    (
        select b.gpu_id, b.subject, b.state, b.started_at, b.ended_at
        from state_intervals b
        where b.gpu_id = w.gpu_id
            and b.subject = s.subject
            and b.started_at < to_timestamp(%(start_s)s)
        order by b.started_at desc
        limit 1
    )
    union all
    (
        select n.gpu_id, n.subject, n.state, n.started_at, n.ended_at
        from state_intervals n
        where n.gpu_id = w.gpu_id
            and n.subject = s.subject
            and n.started_at >= to_timestamp(%(start_s)s)
            and n.started_at < to_timestamp(%(end_s)s)
    )
) i
where i.ended_at is null
    or i.ended_at >= to_timestamp(%(start_s)s)
group by
    i.gpu_id,
    i.subject,
    i.state,
    date_bin(make_interval(secs => %(step_s)s), i.started_at, 'epoch'::timestamptz)
order by started_s
limit 10000;

-- name: work
-- Which work held some accelerators in a span of time, newest first: one row a piece of work and step in which it began.
select
    w.source,
    w.job,
    w.user_name,
    array_agg(distinct w.gpu_id) as gpu_ids,
    array_agg(distinct w.step) as steps,
    extract(epoch from min(w.started_at))::float8 as started_s,
    extract(epoch from max(w.ended_at))::float8 as ended_s,
    bool_or(w.ended_at is null) as is_open
from workload_intervals w
where w.gpu_id = any(%(gpu_ids)s::integer[])
    and w.started_at < to_timestamp(%(end_s)s)
    and coalesce(w.ended_at, 'infinity') >= to_timestamp(%(start_s)s)
group by
    w.source,
    w.job,
    w.user_name,
    date_bin(make_interval(secs => %(step_s)s), w.started_at, 'epoch'::timestamptz)
order by started_s desc
limit 400;

-- name: seats
-- Where a board has been: every seat that ever listed its serial or its UUID, the newest first.
select
    h.host,
    f.facility,
    f.tenant,
    concat_ws(' / ', nullif(r.hall, ''), nullif(r.row, ''), nullif(r.rack, '')) as place,
    a.gpu_id,
    a.index,
    a.present,
    a.serial,
    extract(epoch from a.first_seen)::float8 as first_seen_s,
    extract(epoch from a.inventory_time)::float8 as inventory_s,
    (
        select count(*)
        from events e
        where e.gpu_id = a.gpu_id
            and e.kind in ('xid', 'gpu_lost', 'ecc_uncorrected', 'row_remap')
    )::int as faults
from accelerators own
join accelerators a on a.serial = own.serial or a.uuid = own.uuid
join hosts h on h.host_id = a.host_id
join racks r using (rack_id)
join facilities f on f.facility_id = h.facility_id
where own.gpu_id = %(gpu_id)s
order by a.present desc, a.first_seen desc
limit 20;

-- name: rack
-- How a rack fared, by step: means and the extremes that matter.
select
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), bucket, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    (sum(utilization_gpu_percent_sum)
        / nullif(sum(utilization_gpu_percent_count), 0)::numeric)::float8 as load,
    (sum(sm_active_permille_sum)
        / nullif(sum(sm_active_permille_count), 0)::numeric / 10)::float8 as sm,
    (sum(temperature_margin_celsius_sum)
        / nullif(sum(temperature_margin_celsius_count), 0)::numeric)::float8 as headroom,
    min(temperature_margin_celsius_min)::float8 as headroom_least,
    max(temperature_gpu_celsius_max)::float8 as heat_most,
    (sum(power_milliwatts_sum)
        / nullif(sum(power_milliwatts_count), 0)::numeric / 1000)::float8 as power,
    (sum(throttled_rows) / nullif(sum(sample_rows), 0)::numeric * 100)::float8 as throttled
from rack_rollup
where step_s = %(rollup_s)s
    and rack_id = %(rack_id)s
    and bucket >= to_timestamp(%(start_s)s)
    and bucket < to_timestamp(%(end_s)s)
group by 1
order by 1;

-- name: gpu_rollup
-- How one accelerator fared, by step, from its sums: mean and extremes, so that a spike of one sample
-- stays; codes as their highest, bit masks as every bit that was set.
select
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), bucket, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    (sum(utilization_gpu_percent_sum)
        / nullif(sum(utilization_gpu_percent_count), 0)::numeric)::float8 as utilization_gpu_percent,
    min(utilization_gpu_percent_min) as utilization_gpu_percent_min,
    max(utilization_gpu_percent_max) as utilization_gpu_percent_max,
    (sum(memory_used_mebibytes_sum)
        / nullif(sum(memory_used_mebibytes_count), 0)::numeric)::float8 as memory_used_mebibytes,
    min(memory_used_mebibytes_min) as memory_used_mebibytes_min,
    max(memory_used_mebibytes_max) as memory_used_mebibytes_max,
    (sum(temperature_gpu_celsius_sum)
        / nullif(sum(temperature_gpu_celsius_count), 0)::numeric)::float8 as temperature_gpu_celsius,
    min(temperature_gpu_celsius_min) as temperature_gpu_celsius_min,
    max(temperature_gpu_celsius_max) as temperature_gpu_celsius_max,
    (sum(temperature_memory_celsius_sum)
        / nullif(sum(temperature_memory_celsius_count), 0)::numeric)::float8 as temperature_memory_celsius,
    min(temperature_memory_celsius_min) as temperature_memory_celsius_min,
    max(temperature_memory_celsius_max) as temperature_memory_celsius_max,
    (sum(temperature_margin_celsius_sum)
        / nullif(sum(temperature_margin_celsius_count), 0)::numeric)::float8 as temperature_margin_celsius,
    min(temperature_margin_celsius_min) as temperature_margin_celsius_min,
    max(temperature_margin_celsius_max) as temperature_margin_celsius_max,
    (sum(power_milliwatts_sum)
        / nullif(sum(power_milliwatts_count), 0)::numeric)::float8 as power_milliwatts,
    min(power_milliwatts_min) as power_milliwatts_min,
    max(power_milliwatts_max) as power_milliwatts_max,
    (sum(clock_sm_megahertz_sum)
        / nullif(sum(clock_sm_megahertz_count), 0)::numeric)::float8 as clock_sm_megahertz,
    min(clock_sm_megahertz_min) as clock_sm_megahertz_min,
    max(clock_sm_megahertz_max) as clock_sm_megahertz_max,
    (sum(sm_active_permille_sum)
        / nullif(sum(sm_active_permille_count), 0)::numeric)::float8 as sm_active_permille,
    min(sm_active_permille_min) as sm_active_permille_min,
    max(sm_active_permille_max) as sm_active_permille_max,
    (sum(tensor_active_permille_sum)
        / nullif(sum(tensor_active_permille_count), 0)::numeric)::float8 as tensor_active_permille,
    min(tensor_active_permille_min) as tensor_active_permille_min,
    max(tensor_active_permille_max) as tensor_active_permille_max,
    bit_or(clock_event_reasons_bitmask) as clock_event_reasons_bitmask,
    max(reader_status_code) as reader_status_code
from gpu_rollup(
    %(step_s)s,
    %(host_id)s,
    array[%(gpu_id)s]::integer[],
    to_timestamp(%(start_s)s),
    to_timestamp(%(end_s)s)
)
group by 1
order by 1;

-- name: gpu_fast
-- What one accelerator tells every tick, by step: gauges as mean and extremes, so that a spike of one
-- sample stays; counters and codes as their highest, bit masks as every bit that was set.
select
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), time, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    avg(utilization_gpu_percent)::float8 as utilization_gpu_percent,
    min(utilization_gpu_percent) as utilization_gpu_percent_min,
    max(utilization_gpu_percent) as utilization_gpu_percent_max,
    avg(utilization_memory_percent)::float8 as utilization_memory_percent,
    min(utilization_memory_percent) as utilization_memory_percent_min,
    max(utilization_memory_percent) as utilization_memory_percent_max,
    avg(utilization_encoder_percent)::float8 as utilization_encoder_percent,
    min(utilization_encoder_percent) as utilization_encoder_percent_min,
    max(utilization_encoder_percent) as utilization_encoder_percent_max,
    avg(utilization_decoder_percent)::float8 as utilization_decoder_percent,
    min(utilization_decoder_percent) as utilization_decoder_percent_min,
    max(utilization_decoder_percent) as utilization_decoder_percent_max,
    avg(utilization_jpeg_percent)::float8 as utilization_jpeg_percent,
    min(utilization_jpeg_percent) as utilization_jpeg_percent_min,
    max(utilization_jpeg_percent) as utilization_jpeg_percent_max,
    avg(utilization_ofa_percent)::float8 as utilization_ofa_percent,
    min(utilization_ofa_percent) as utilization_ofa_percent_min,
    max(utilization_ofa_percent) as utilization_ofa_percent_max,
    avg(memory_used_mebibytes)::float8 as memory_used_mebibytes,
    min(memory_used_mebibytes) as memory_used_mebibytes_min,
    max(memory_used_mebibytes) as memory_used_mebibytes_max,
    avg(temperature_gpu_celsius)::float8 as temperature_gpu_celsius,
    min(temperature_gpu_celsius) as temperature_gpu_celsius_min,
    max(temperature_gpu_celsius) as temperature_gpu_celsius_max,
    avg(temperature_memory_celsius)::float8 as temperature_memory_celsius,
    min(temperature_memory_celsius) as temperature_memory_celsius_min,
    max(temperature_memory_celsius) as temperature_memory_celsius_max,
    avg(temperature_margin_celsius)::float8 as temperature_margin_celsius,
    min(temperature_margin_celsius) as temperature_margin_celsius_min,
    max(temperature_margin_celsius) as temperature_margin_celsius_max,
    avg(power_milliwatts)::float8 as power_milliwatts,
    min(power_milliwatts) as power_milliwatts_min,
    max(power_milliwatts) as power_milliwatts_max,
    avg(power_instant_milliwatts)::float8 as power_instant_milliwatts,
    min(power_instant_milliwatts) as power_instant_milliwatts_min,
    max(power_instant_milliwatts) as power_instant_milliwatts_max,
    max(energy_millijoules) as energy_millijoules,
    avg(clock_sm_megahertz)::float8 as clock_sm_megahertz,
    min(clock_sm_megahertz) as clock_sm_megahertz_min,
    max(clock_sm_megahertz) as clock_sm_megahertz_max,
    avg(clock_memory_megahertz)::float8 as clock_memory_megahertz,
    min(clock_memory_megahertz) as clock_memory_megahertz_min,
    max(clock_memory_megahertz) as clock_memory_megahertz_max,
    avg(clock_video_megahertz)::float8 as clock_video_megahertz,
    min(clock_video_megahertz) as clock_video_megahertz_min,
    max(clock_video_megahertz) as clock_video_megahertz_max,
    bit_or(clock_event_reasons_bitmask) as clock_event_reasons_bitmask,
    max(performance_state_code) as performance_state_code,
    avg(graphics_active_permille)::float8 as graphics_active_permille,
    min(graphics_active_permille) as graphics_active_permille_min,
    max(graphics_active_permille) as graphics_active_permille_max,
    avg(sm_active_permille)::float8 as sm_active_permille,
    min(sm_active_permille) as sm_active_permille_min,
    max(sm_active_permille) as sm_active_permille_max,
    avg(sm_occupancy_permille)::float8 as sm_occupancy_permille,
    min(sm_occupancy_permille) as sm_occupancy_permille_min,
    max(sm_occupancy_permille) as sm_occupancy_permille_max,
    avg(tensor_active_permille)::float8 as tensor_active_permille,
    min(tensor_active_permille) as tensor_active_permille_min,
    max(tensor_active_permille) as tensor_active_permille_max,
    avg(dram_active_permille)::float8 as dram_active_permille,
    min(dram_active_permille) as dram_active_permille_min,
    max(dram_active_permille) as dram_active_permille_max,
    avg(fp64_active_permille)::float8 as fp64_active_permille,
    min(fp64_active_permille) as fp64_active_permille_min,
    max(fp64_active_permille) as fp64_active_permille_max,
    avg(fp32_active_permille)::float8 as fp32_active_permille,
    min(fp32_active_permille) as fp32_active_permille_min,
    max(fp32_active_permille) as fp32_active_permille_max,
    avg(fp16_active_permille)::float8 as fp16_active_permille,
    min(fp16_active_permille) as fp16_active_permille_min,
    max(fp16_active_permille) as fp16_active_permille_max,
    avg(pcie_transmit_mebibytes_per_second)::float8 as pcie_transmit_mebibytes_per_second,
    min(pcie_transmit_mebibytes_per_second) as pcie_transmit_mebibytes_per_second_min,
    max(pcie_transmit_mebibytes_per_second) as pcie_transmit_mebibytes_per_second_max,
    avg(pcie_receive_mebibytes_per_second)::float8 as pcie_receive_mebibytes_per_second,
    min(pcie_receive_mebibytes_per_second) as pcie_receive_mebibytes_per_second_min,
    max(pcie_receive_mebibytes_per_second) as pcie_receive_mebibytes_per_second_max,
    avg(nvlink_receive_mebibytes_per_second)::float8 as nvlink_receive_mebibytes_per_second,
    min(nvlink_receive_mebibytes_per_second) as nvlink_receive_mebibytes_per_second_min,
    max(nvlink_receive_mebibytes_per_second) as nvlink_receive_mebibytes_per_second_max,
    avg(nvlink_transmit_mebibytes_per_second)::float8 as nvlink_transmit_mebibytes_per_second,
    min(nvlink_transmit_mebibytes_per_second) as nvlink_transmit_mebibytes_per_second_min,
    max(nvlink_transmit_mebibytes_per_second) as nvlink_transmit_mebibytes_per_second_max,
    max(reader_status_code) as reader_status_code,
    avg(read_failures_count)::float8 as read_failures_count,
    min(read_failures_count) as read_failures_count_min,
    max(read_failures_count) as read_failures_count_max
from samples
where gpu_id = %(gpu_id)s
    and time >= to_timestamp(%(start_s)s)
    and time < to_timestamp(%(end_s)s)
group by 1
order by 1;

-- name: gpu_slow
-- What one accelerator tells every half or whole minute, by step: gauges as mean and extremes, so that a spike of one
-- sample stays; counters and codes as their highest, bit masks as every bit that was set.
select
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), time, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    avg(power_limit_milliwatts)::float8 as power_limit_milliwatts,
    min(power_limit_milliwatts) as power_limit_milliwatts_min,
    max(power_limit_milliwatts) as power_limit_milliwatts_max,
    avg(bar1_used_mebibytes)::float8 as bar1_used_mebibytes,
    min(bar1_used_mebibytes) as bar1_used_mebibytes_min,
    max(bar1_used_mebibytes) as bar1_used_mebibytes_max,
    max(throttled_power_nanoseconds) as throttled_power_nanoseconds,
    max(throttled_thermal_nanoseconds) as throttled_thermal_nanoseconds,
    max(ecc_corrected_volatile_count) as ecc_corrected_volatile_count,
    max(ecc_uncorrected_volatile_count) as ecc_uncorrected_volatile_count,
    max(ecc_corrected_aggregate_count) as ecc_corrected_aggregate_count,
    max(ecc_uncorrected_aggregate_count) as ecc_uncorrected_aggregate_count,
    max(sram_threshold_exceeded_flag) as sram_threshold_exceeded_flag,
    max(remapped_rows_corrected_count) as remapped_rows_corrected_count,
    max(remapped_rows_uncorrected_count) as remapped_rows_uncorrected_count,
    max(remap_pending_flag) as remap_pending_flag,
    max(remap_failed_flag) as remap_failed_flag,
    max(retired_pages_count) as retired_pages_count,
    max(pcie_replays_count) as pcie_replays_count,
    avg(pcie_link_generation)::float8 as pcie_link_generation,
    min(pcie_link_generation) as pcie_link_generation_min,
    max(pcie_link_generation) as pcie_link_generation_max,
    avg(pcie_link_width_lanes)::float8 as pcie_link_width_lanes,
    min(pcie_link_width_lanes) as pcie_link_width_lanes_min,
    max(pcie_link_width_lanes) as pcie_link_width_lanes_max,
    avg(nvlink_active_links_count)::float8 as nvlink_active_links_count,
    min(nvlink_active_links_count) as nvlink_active_links_count_min,
    max(nvlink_active_links_count) as nvlink_active_links_count_max,
    max(nvlink_crc_errors_count) as nvlink_crc_errors_count,
    max(nvlink_replay_errors_count) as nvlink_replay_errors_count,
    max(nvlink_recovery_errors_count) as nvlink_recovery_errors_count,
    max(fabric_state_code) as fabric_state_code,
    bit_or(fabric_health_bitmask) as fabric_health_bitmask,
    max(recovery_action_code) as recovery_action_code,
    avg(processes_count)::float8 as processes_count,
    min(processes_count) as processes_count_min,
    max(processes_count) as processes_count_max,
    max(throttled_sync_boost_nanoseconds) as throttled_sync_boost_nanoseconds,
    max(throttled_software_thermal_nanoseconds) as throttled_software_thermal_nanoseconds,
    max(throttled_hardware_thermal_nanoseconds) as throttled_hardware_thermal_nanoseconds,
    max(throttled_power_brake_nanoseconds) as throttled_power_brake_nanoseconds,
    max(ecc_dram_corrected_volatile_count) as ecc_dram_corrected_volatile_count,
    max(ecc_dram_uncorrected_aggregate_count) as ecc_dram_uncorrected_aggregate_count,
    max(sram_corrected_volatile_count) as sram_corrected_volatile_count,
    max(sram_parity_aggregate_count) as sram_parity_aggregate_count,
    max(sram_secded_aggregate_count) as sram_secded_aggregate_count,
    max(sram_l2_aggregate_count) as sram_l2_aggregate_count,
    max(sram_sm_aggregate_count) as sram_sm_aggregate_count,
    max(sram_pcie_aggregate_count) as sram_pcie_aggregate_count,
    max(sram_microcontroller_aggregate_count) as sram_microcontroller_aggregate_count,
    max(sram_other_aggregate_count) as sram_other_aggregate_count,
    avg(remap_banks_full_count)::float8 as remap_banks_full_count,
    min(remap_banks_full_count) as remap_banks_full_count_min,
    max(remap_banks_full_count) as remap_banks_full_count_max,
    avg(remap_banks_high_count)::float8 as remap_banks_high_count,
    min(remap_banks_high_count) as remap_banks_high_count_min,
    max(remap_banks_high_count) as remap_banks_high_count_max,
    avg(remap_banks_partial_count)::float8 as remap_banks_partial_count,
    min(remap_banks_partial_count) as remap_banks_partial_count_min,
    max(remap_banks_partial_count) as remap_banks_partial_count_max,
    avg(remap_banks_low_count)::float8 as remap_banks_low_count,
    min(remap_banks_low_count) as remap_banks_low_count_min,
    max(remap_banks_low_count) as remap_banks_low_count_max,
    avg(remap_banks_none_count)::float8 as remap_banks_none_count,
    min(remap_banks_none_count) as remap_banks_none_count_min,
    max(remap_banks_none_count) as remap_banks_none_count_max,
    max(retired_pages_double_bit_count) as retired_pages_double_bit_count,
    max(retired_pages_pending_flag) as retired_pages_pending_flag,
    max(unrepairable_memory_flag) as unrepairable_memory_flag,
    max(channel_repair_pending_flag) as channel_repair_pending_flag,
    max(tpc_repair_pending_flag) as tpc_repair_pending_flag,
    max(pcie_correctable_errors_count) as pcie_correctable_errors_count,
    max(pcie_naks_received_count) as pcie_naks_received_count,
    max(pcie_receiver_errors_count) as pcie_receiver_errors_count,
    max(pcie_bad_tlps_count) as pcie_bad_tlps_count,
    max(pcie_naks_sent_count) as pcie_naks_sent_count,
    max(pcie_bad_dllps_count) as pcie_bad_dllps_count,
    max(pcie_nonfatal_errors_count) as pcie_nonfatal_errors_count,
    max(pcie_fatal_errors_count) as pcie_fatal_errors_count,
    max(pcie_unsupported_requests_count) as pcie_unsupported_requests_count,
    max(pcie_lcrc_errors_count) as pcie_lcrc_errors_count,
    max(nvlink_receive_errors_count) as nvlink_receive_errors_count,
    max(nvlink_recovery_events_count) as nvlink_recovery_events_count,
    max(nvlink_recovery_failures_count) as nvlink_recovery_failures_count,
    max(nvlink_symbol_errors_count) as nvlink_symbol_errors_count,
    avg(nvlink_raw_ber_exponent_hundredths)::float8 as nvlink_raw_ber_exponent_hundredths,
    min(nvlink_raw_ber_exponent_hundredths) as nvlink_raw_ber_exponent_hundredths_min,
    max(nvlink_raw_ber_exponent_hundredths) as nvlink_raw_ber_exponent_hundredths_max,
    avg(nvlink_effective_ber_exponent_hundredths)::float8 as nvlink_effective_ber_exponent_hundredths,
    min(nvlink_effective_ber_exponent_hundredths) as nvlink_effective_ber_exponent_hundredths_min,
    max(nvlink_effective_ber_exponent_hundredths) as nvlink_effective_ber_exponent_hundredths_max,
    avg(nvlink_symbol_ber_exponent_hundredths)::float8 as nvlink_symbol_ber_exponent_hundredths,
    min(nvlink_symbol_ber_exponent_hundredths) as nvlink_symbol_ber_exponent_hundredths_min,
    max(nvlink_symbol_ber_exponent_hundredths) as nvlink_symbol_ber_exponent_hundredths_max,
    max(fabric_status_code) as fabric_status_code,
    max(fabric_health_code) as fabric_health_code,
    max(ecc_enabled_flag) as ecc_enabled_flag,
    max(persistence_enabled_flag) as persistence_enabled_flag,
    max(mig_enabled_flag) as mig_enabled_flag,
    max(inforom_valid_flag) as inforom_valid_flag,
    max(c2c_errors_count) as c2c_errors_count,
    max(c2c_replays_count) as c2c_replays_count
from slow_samples
where gpu_id = %(gpu_id)s
    and time >= to_timestamp(%(start_s)s)
    and time < to_timestamp(%(end_s)s)
group by 1
order by 1;

-- name: raw_fast
-- Readings as they were stored, newest first.
select
    extract(epoch from time)::float8 as time_s,
    utilization_gpu_percent,
    utilization_memory_percent,
    utilization_encoder_percent,
    utilization_decoder_percent,
    utilization_jpeg_percent,
    utilization_ofa_percent,
    memory_used_mebibytes,
    temperature_gpu_celsius,
    temperature_memory_celsius,
    temperature_margin_celsius,
    power_milliwatts,
    power_instant_milliwatts,
    energy_millijoules,
    clock_sm_megahertz,
    clock_memory_megahertz,
    clock_video_megahertz,
    clock_event_reasons_bitmask,
    performance_state_code,
    graphics_active_permille,
    sm_active_permille,
    sm_occupancy_permille,
    tensor_active_permille,
    dram_active_permille,
    fp64_active_permille,
    fp32_active_permille,
    fp16_active_permille,
    pcie_transmit_mebibytes_per_second,
    pcie_receive_mebibytes_per_second,
    nvlink_receive_mebibytes_per_second,
    nvlink_transmit_mebibytes_per_second,
    reader_status_code,
    read_failures_count
from samples
where gpu_id = %(gpu_id)s
    and time >= to_timestamp(%(start_s)s)
    and time < to_timestamp(%(end_s)s)
order by time desc
limit %(limit)s;

-- name: raw_slow
-- Readings as they were stored, newest first.
select
    extract(epoch from time)::float8 as time_s,
    power_limit_milliwatts,
    bar1_used_mebibytes,
    throttled_power_nanoseconds,
    throttled_thermal_nanoseconds,
    ecc_corrected_volatile_count,
    ecc_uncorrected_volatile_count,
    ecc_corrected_aggregate_count,
    ecc_uncorrected_aggregate_count,
    sram_threshold_exceeded_flag,
    remapped_rows_corrected_count,
    remapped_rows_uncorrected_count,
    remap_pending_flag,
    remap_failed_flag,
    retired_pages_count,
    pcie_replays_count,
    pcie_link_generation,
    pcie_link_width_lanes,
    nvlink_active_links_count,
    nvlink_crc_errors_count,
    nvlink_replay_errors_count,
    nvlink_recovery_errors_count,
    fabric_state_code,
    fabric_health_bitmask,
    recovery_action_code,
    processes_count,
    throttled_sync_boost_nanoseconds,
    throttled_software_thermal_nanoseconds,
    throttled_hardware_thermal_nanoseconds,
    throttled_power_brake_nanoseconds,
    ecc_dram_corrected_volatile_count,
    ecc_dram_uncorrected_aggregate_count,
    sram_corrected_volatile_count,
    sram_parity_aggregate_count,
    sram_secded_aggregate_count,
    sram_l2_aggregate_count,
    sram_sm_aggregate_count,
    sram_pcie_aggregate_count,
    sram_microcontroller_aggregate_count,
    sram_other_aggregate_count,
    remap_banks_full_count,
    remap_banks_high_count,
    remap_banks_partial_count,
    remap_banks_low_count,
    remap_banks_none_count,
    retired_pages_double_bit_count,
    retired_pages_pending_flag,
    unrepairable_memory_flag,
    channel_repair_pending_flag,
    tpc_repair_pending_flag,
    pcie_correctable_errors_count,
    pcie_naks_received_count,
    pcie_receiver_errors_count,
    pcie_bad_tlps_count,
    pcie_naks_sent_count,
    pcie_bad_dllps_count,
    pcie_nonfatal_errors_count,
    pcie_fatal_errors_count,
    pcie_unsupported_requests_count,
    pcie_lcrc_errors_count,
    nvlink_receive_errors_count,
    nvlink_recovery_events_count,
    nvlink_recovery_failures_count,
    nvlink_symbol_errors_count,
    nvlink_raw_ber_exponent_hundredths,
    nvlink_effective_ber_exponent_hundredths,
    nvlink_symbol_ber_exponent_hundredths,
    fabric_status_code,
    fabric_health_code,
    ecc_enabled_flag,
    persistence_enabled_flag,
    mig_enabled_flag,
    inforom_valid_flag,
    c2c_errors_count,
    c2c_replays_count
from slow_samples
where gpu_id = %(gpu_id)s
    and time >= to_timestamp(%(start_s)s)
    and time < to_timestamp(%(end_s)s)
order by time desc
limit %(limit)s;
