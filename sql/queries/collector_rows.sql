-- name: copy_samples
-- Fast rows; columns in the order of the metric catalogue.
copy samples (
    time,
    gpu_id,
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
)
from stdin (format binary);

-- name: copy_slow_samples
-- Slow rows; columns in the order of the metric catalogue.
copy slow_samples (
    time,
    gpu_id,
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
)
from stdin (format binary);

-- name: copy_fast_state
-- The newest fast tick of each host of a batch.
copy fast_state_in (
    host_id,
    time,
    boot_epoch,
    seq,
    gpu_ids,
    utilization_gpu_percent,
    memory_used_mebibytes,
    temperature_gpu_celsius,
    temperature_memory_celsius,
    temperature_margin_celsius,
    power_milliwatts,
    clock_sm_megahertz,
    clock_event_reasons_bitmask,
    sm_active_permille,
    tensor_active_permille,
    reader_status_code
)
from stdin (format binary);

-- name: copy_slow_state
-- The newest slow tick of each host of a batch.
copy slow_state_in (
    host_id,
    time,
    boot_epoch,
    seq,
    gpu_ids,
    power_limit_milliwatts,
    ecc_uncorrected_volatile_count,
    remap_pending_flag,
    remap_failed_flag,
    nvlink_active_links_count,
    recovery_action_code,
    processes_count
)
from stdin (format binary);

-- name: copy_facility_rollup
-- Sums of a batch by facility and 10 s.
copy facility_rollup_in (
    bucket,
    facility_id,
    sample_rows,
    throttled_rows,
    utilization_gpu_percent_sum,
    utilization_gpu_percent_count,
    utilization_gpu_percent_min,
    utilization_gpu_percent_max,
    memory_used_mebibytes_sum,
    memory_used_mebibytes_count,
    memory_used_mebibytes_min,
    memory_used_mebibytes_max,
    temperature_gpu_celsius_sum,
    temperature_gpu_celsius_count,
    temperature_gpu_celsius_min,
    temperature_gpu_celsius_max,
    temperature_memory_celsius_sum,
    temperature_memory_celsius_count,
    temperature_memory_celsius_min,
    temperature_memory_celsius_max,
    temperature_margin_celsius_sum,
    temperature_margin_celsius_count,
    temperature_margin_celsius_min,
    temperature_margin_celsius_max,
    power_milliwatts_sum,
    power_milliwatts_count,
    power_milliwatts_min,
    power_milliwatts_max,
    clock_sm_megahertz_sum,
    clock_sm_megahertz_count,
    clock_sm_megahertz_min,
    clock_sm_megahertz_max,
    sm_active_permille_sum,
    sm_active_permille_count,
    sm_active_permille_min,
    sm_active_permille_max,
    tensor_active_permille_sum,
    tensor_active_permille_count,
    tensor_active_permille_min,
    tensor_active_permille_max
)
from stdin (format binary);

-- name: copy_rack_rollup
-- Sums of a batch by rack and minute.
copy rack_rollup_in (
    bucket,
    rack_id,
    sample_rows,
    throttled_rows,
    utilization_gpu_percent_sum,
    utilization_gpu_percent_count,
    utilization_gpu_percent_min,
    utilization_gpu_percent_max,
    memory_used_mebibytes_sum,
    memory_used_mebibytes_count,
    memory_used_mebibytes_min,
    memory_used_mebibytes_max,
    temperature_gpu_celsius_sum,
    temperature_gpu_celsius_count,
    temperature_gpu_celsius_min,
    temperature_gpu_celsius_max,
    temperature_memory_celsius_sum,
    temperature_memory_celsius_count,
    temperature_memory_celsius_min,
    temperature_memory_celsius_max,
    temperature_margin_celsius_sum,
    temperature_margin_celsius_count,
    temperature_margin_celsius_min,
    temperature_margin_celsius_max,
    power_milliwatts_sum,
    power_milliwatts_count,
    power_milliwatts_min,
    power_milliwatts_max,
    clock_sm_megahertz_sum,
    clock_sm_megahertz_count,
    clock_sm_megahertz_min,
    clock_sm_megahertz_max,
    sm_active_permille_sum,
    sm_active_permille_count,
    sm_active_permille_min,
    sm_active_permille_max,
    tensor_active_permille_sum,
    tensor_active_permille_count,
    tensor_active_permille_min,
    tensor_active_permille_max
)
from stdin (format binary);

-- name: make_fast_state_in
-- Where the newest fast ticks wait to be merged.
create temp table if not exists fast_state_in (
    host_id integer,
    time timestamptz,
    boot_epoch bigint,
    seq bigint,
    gpu_ids integer[],
    utilization_gpu_percent smallint[],
    memory_used_mebibytes integer[],
    temperature_gpu_celsius smallint[],
    temperature_memory_celsius smallint[],
    temperature_margin_celsius smallint[],
    power_milliwatts integer[],
    clock_sm_megahertz smallint[],
    clock_event_reasons_bitmask integer[],
    sm_active_permille smallint[],
    tensor_active_permille smallint[],
    reader_status_code smallint[]
) on commit delete rows;

-- name: make_slow_state_in
-- Where the newest slow ticks wait to be merged.
create temp table if not exists slow_state_in (
    host_id integer,
    time timestamptz,
    boot_epoch bigint,
    seq bigint,
    gpu_ids integer[],
    power_limit_milliwatts integer[],
    ecc_uncorrected_volatile_count bigint[],
    remap_pending_flag smallint[],
    remap_failed_flag smallint[],
    nvlink_active_links_count smallint[],
    recovery_action_code smallint[],
    processes_count smallint[]
) on commit delete rows;

-- name: make_facility_rollup_in
-- Where a batch's sums by facility wait to be added.
create temp table if not exists facility_rollup_in (like facility_rollup_10s) on commit delete rows;

-- name: make_rack_rollup_in
-- Where a batch's sums by rack wait to be added.
create temp table if not exists rack_rollup_in (like rack_rollup_1m) on commit delete rows;

-- name: merge_fast_state
-- Newest wins, by the host's own numbering and not by its clock. Where the accelerators are others
-- than before, the slow values were theirs and go.
insert into host_state (
    host_id,
    time,
    received_at,
    boot_epoch,
    seq,
    gpu_ids,
    utilization_gpu_percent,
    memory_used_mebibytes,
    temperature_gpu_celsius,
    temperature_memory_celsius,
    temperature_margin_celsius,
    power_milliwatts,
    clock_sm_megahertz,
    clock_event_reasons_bitmask,
    sm_active_permille,
    tensor_active_permille,
    reader_status_code
)
select
    host_id,
    time,
    now(),
    boot_epoch,
    seq,
    gpu_ids,
    utilization_gpu_percent,
    memory_used_mebibytes,
    temperature_gpu_celsius,
    temperature_memory_celsius,
    temperature_margin_celsius,
    power_milliwatts,
    clock_sm_megahertz,
    clock_event_reasons_bitmask,
    sm_active_permille,
    tensor_active_permille,
    reader_status_code
from fast_state_in
order by host_id
on conflict (host_id) do update
set
    time = excluded.time,
    received_at = excluded.received_at,
    boot_epoch = excluded.boot_epoch,
    seq = excluded.seq,
    gpu_ids = excluded.gpu_ids,
    utilization_gpu_percent = excluded.utilization_gpu_percent,
    memory_used_mebibytes = excluded.memory_used_mebibytes,
    temperature_gpu_celsius = excluded.temperature_gpu_celsius,
    temperature_memory_celsius = excluded.temperature_memory_celsius,
    temperature_margin_celsius = excluded.temperature_margin_celsius,
    power_milliwatts = excluded.power_milliwatts,
    clock_sm_megahertz = excluded.clock_sm_megahertz,
    clock_event_reasons_bitmask = excluded.clock_event_reasons_bitmask,
    sm_active_permille = excluded.sm_active_permille,
    tensor_active_permille = excluded.tensor_active_permille,
    reader_status_code = excluded.reader_status_code,
    slow_time = case when host_state.gpu_ids = excluded.gpu_ids then host_state.slow_time end,
    power_limit_milliwatts = case when host_state.gpu_ids = excluded.gpu_ids then host_state.power_limit_milliwatts end,
    ecc_uncorrected_volatile_count = case when host_state.gpu_ids = excluded.gpu_ids then host_state.ecc_uncorrected_volatile_count end,
    remap_pending_flag = case when host_state.gpu_ids = excluded.gpu_ids then host_state.remap_pending_flag end,
    remap_failed_flag = case when host_state.gpu_ids = excluded.gpu_ids then host_state.remap_failed_flag end,
    nvlink_active_links_count = case when host_state.gpu_ids = excluded.gpu_ids then host_state.nvlink_active_links_count end,
    recovery_action_code = case when host_state.gpu_ids = excluded.gpu_ids then host_state.recovery_action_code end,
    processes_count = case when host_state.gpu_ids = excluded.gpu_ids then host_state.processes_count end
where (host_state.boot_epoch, host_state.seq) < (excluded.boot_epoch, excluded.seq);

-- name: merge_slow_state
-- The same for slow values; those of accelerators that are no longer there come too late.
insert into host_state (
    host_id,
    slow_time,
    received_at,
    boot_epoch,
    seq,
    slow_boot_epoch,
    slow_seq,
    gpu_ids,
    power_limit_milliwatts,
    ecc_uncorrected_volatile_count,
    remap_pending_flag,
    remap_failed_flag,
    nvlink_active_links_count,
    recovery_action_code,
    processes_count
)
select
    host_id,
    time,
    now(),
    0,
    0,
    boot_epoch,
    seq,
    gpu_ids,
    power_limit_milliwatts,
    ecc_uncorrected_volatile_count,
    remap_pending_flag,
    remap_failed_flag,
    nvlink_active_links_count,
    recovery_action_code,
    processes_count
from slow_state_in
order by host_id
on conflict (host_id) do update
set
    slow_time = excluded.slow_time,
    received_at = excluded.received_at,
    slow_boot_epoch = excluded.slow_boot_epoch,
    slow_seq = excluded.slow_seq,
    gpu_ids = excluded.gpu_ids,
    power_limit_milliwatts = excluded.power_limit_milliwatts,
    ecc_uncorrected_volatile_count = excluded.ecc_uncorrected_volatile_count,
    remap_pending_flag = excluded.remap_pending_flag,
    remap_failed_flag = excluded.remap_failed_flag,
    nvlink_active_links_count = excluded.nvlink_active_links_count,
    recovery_action_code = excluded.recovery_action_code,
    processes_count = excluded.processes_count,
    utilization_gpu_percent = case when host_state.gpu_ids = excluded.gpu_ids then host_state.utilization_gpu_percent end,
    memory_used_mebibytes = case when host_state.gpu_ids = excluded.gpu_ids then host_state.memory_used_mebibytes end,
    temperature_gpu_celsius = case when host_state.gpu_ids = excluded.gpu_ids then host_state.temperature_gpu_celsius end,
    temperature_memory_celsius = case when host_state.gpu_ids = excluded.gpu_ids then host_state.temperature_memory_celsius end,
    temperature_margin_celsius = case when host_state.gpu_ids = excluded.gpu_ids then host_state.temperature_margin_celsius end,
    power_milliwatts = case when host_state.gpu_ids = excluded.gpu_ids then host_state.power_milliwatts end,
    clock_sm_megahertz = case when host_state.gpu_ids = excluded.gpu_ids then host_state.clock_sm_megahertz end,
    clock_event_reasons_bitmask = case when host_state.gpu_ids = excluded.gpu_ids then host_state.clock_event_reasons_bitmask end,
    sm_active_permille = case when host_state.gpu_ids = excluded.gpu_ids then host_state.sm_active_permille end,
    tensor_active_permille = case when host_state.gpu_ids = excluded.gpu_ids then host_state.tensor_active_permille end,
    reader_status_code = case when host_state.gpu_ids = excluded.gpu_ids then host_state.reader_status_code end
where (host_state.slow_boot_epoch, host_state.slow_seq)
    < (excluded.slow_boot_epoch, excluded.slow_seq)
    and (
        host_state.gpu_ids = excluded.gpu_ids
        or (host_state.boot_epoch, host_state.seq)
        < (excluded.slow_boot_epoch, excluded.slow_seq)
    );

-- name: merge_facility_rollup
-- Add; in key order, so that two collectors cannot block each other.
insert into facility_rollup_10s (
    bucket,
    facility_id,
    sample_rows,
    throttled_rows,
    utilization_gpu_percent_sum,
    utilization_gpu_percent_count,
    utilization_gpu_percent_min,
    utilization_gpu_percent_max,
    memory_used_mebibytes_sum,
    memory_used_mebibytes_count,
    memory_used_mebibytes_min,
    memory_used_mebibytes_max,
    temperature_gpu_celsius_sum,
    temperature_gpu_celsius_count,
    temperature_gpu_celsius_min,
    temperature_gpu_celsius_max,
    temperature_memory_celsius_sum,
    temperature_memory_celsius_count,
    temperature_memory_celsius_min,
    temperature_memory_celsius_max,
    temperature_margin_celsius_sum,
    temperature_margin_celsius_count,
    temperature_margin_celsius_min,
    temperature_margin_celsius_max,
    power_milliwatts_sum,
    power_milliwatts_count,
    power_milliwatts_min,
    power_milliwatts_max,
    clock_sm_megahertz_sum,
    clock_sm_megahertz_count,
    clock_sm_megahertz_min,
    clock_sm_megahertz_max,
    sm_active_permille_sum,
    sm_active_permille_count,
    sm_active_permille_min,
    sm_active_permille_max,
    tensor_active_permille_sum,
    tensor_active_permille_count,
    tensor_active_permille_min,
    tensor_active_permille_max
)
select
    bucket,
    facility_id,
    sample_rows,
    throttled_rows,
    utilization_gpu_percent_sum,
    utilization_gpu_percent_count,
    utilization_gpu_percent_min,
    utilization_gpu_percent_max,
    memory_used_mebibytes_sum,
    memory_used_mebibytes_count,
    memory_used_mebibytes_min,
    memory_used_mebibytes_max,
    temperature_gpu_celsius_sum,
    temperature_gpu_celsius_count,
    temperature_gpu_celsius_min,
    temperature_gpu_celsius_max,
    temperature_memory_celsius_sum,
    temperature_memory_celsius_count,
    temperature_memory_celsius_min,
    temperature_memory_celsius_max,
    temperature_margin_celsius_sum,
    temperature_margin_celsius_count,
    temperature_margin_celsius_min,
    temperature_margin_celsius_max,
    power_milliwatts_sum,
    power_milliwatts_count,
    power_milliwatts_min,
    power_milliwatts_max,
    clock_sm_megahertz_sum,
    clock_sm_megahertz_count,
    clock_sm_megahertz_min,
    clock_sm_megahertz_max,
    sm_active_permille_sum,
    sm_active_permille_count,
    sm_active_permille_min,
    sm_active_permille_max,
    tensor_active_permille_sum,
    tensor_active_permille_count,
    tensor_active_permille_min,
    tensor_active_permille_max
from facility_rollup_in
order by facility_id, bucket
on conflict (facility_id, bucket) do update
set
    sample_rows = facility_rollup_10s.sample_rows + excluded.sample_rows,
    throttled_rows = facility_rollup_10s.throttled_rows + excluded.throttled_rows,
    utilization_gpu_percent_sum = facility_rollup_10s.utilization_gpu_percent_sum + excluded.utilization_gpu_percent_sum,
    utilization_gpu_percent_count = facility_rollup_10s.utilization_gpu_percent_count + excluded.utilization_gpu_percent_count,
    utilization_gpu_percent_min = least(facility_rollup_10s.utilization_gpu_percent_min, excluded.utilization_gpu_percent_min),
    utilization_gpu_percent_max = greatest(facility_rollup_10s.utilization_gpu_percent_max, excluded.utilization_gpu_percent_max),
    memory_used_mebibytes_sum = facility_rollup_10s.memory_used_mebibytes_sum + excluded.memory_used_mebibytes_sum,
    memory_used_mebibytes_count = facility_rollup_10s.memory_used_mebibytes_count + excluded.memory_used_mebibytes_count,
    memory_used_mebibytes_min = least(facility_rollup_10s.memory_used_mebibytes_min, excluded.memory_used_mebibytes_min),
    memory_used_mebibytes_max = greatest(facility_rollup_10s.memory_used_mebibytes_max, excluded.memory_used_mebibytes_max),
    temperature_gpu_celsius_sum = facility_rollup_10s.temperature_gpu_celsius_sum + excluded.temperature_gpu_celsius_sum,
    temperature_gpu_celsius_count = facility_rollup_10s.temperature_gpu_celsius_count + excluded.temperature_gpu_celsius_count,
    temperature_gpu_celsius_min = least(facility_rollup_10s.temperature_gpu_celsius_min, excluded.temperature_gpu_celsius_min),
    temperature_gpu_celsius_max = greatest(facility_rollup_10s.temperature_gpu_celsius_max, excluded.temperature_gpu_celsius_max),
    temperature_memory_celsius_sum = facility_rollup_10s.temperature_memory_celsius_sum + excluded.temperature_memory_celsius_sum,
    temperature_memory_celsius_count = facility_rollup_10s.temperature_memory_celsius_count + excluded.temperature_memory_celsius_count,
    temperature_memory_celsius_min = least(facility_rollup_10s.temperature_memory_celsius_min, excluded.temperature_memory_celsius_min),
    temperature_memory_celsius_max = greatest(facility_rollup_10s.temperature_memory_celsius_max, excluded.temperature_memory_celsius_max),
    temperature_margin_celsius_sum = facility_rollup_10s.temperature_margin_celsius_sum + excluded.temperature_margin_celsius_sum,
    temperature_margin_celsius_count = facility_rollup_10s.temperature_margin_celsius_count + excluded.temperature_margin_celsius_count,
    temperature_margin_celsius_min = least(facility_rollup_10s.temperature_margin_celsius_min, excluded.temperature_margin_celsius_min),
    temperature_margin_celsius_max = greatest(facility_rollup_10s.temperature_margin_celsius_max, excluded.temperature_margin_celsius_max),
    power_milliwatts_sum = facility_rollup_10s.power_milliwatts_sum + excluded.power_milliwatts_sum,
    power_milliwatts_count = facility_rollup_10s.power_milliwatts_count + excluded.power_milliwatts_count,
    power_milliwatts_min = least(facility_rollup_10s.power_milliwatts_min, excluded.power_milliwatts_min),
    power_milliwatts_max = greatest(facility_rollup_10s.power_milliwatts_max, excluded.power_milliwatts_max),
    clock_sm_megahertz_sum = facility_rollup_10s.clock_sm_megahertz_sum + excluded.clock_sm_megahertz_sum,
    clock_sm_megahertz_count = facility_rollup_10s.clock_sm_megahertz_count + excluded.clock_sm_megahertz_count,
    clock_sm_megahertz_min = least(facility_rollup_10s.clock_sm_megahertz_min, excluded.clock_sm_megahertz_min),
    clock_sm_megahertz_max = greatest(facility_rollup_10s.clock_sm_megahertz_max, excluded.clock_sm_megahertz_max),
    sm_active_permille_sum = facility_rollup_10s.sm_active_permille_sum + excluded.sm_active_permille_sum,
    sm_active_permille_count = facility_rollup_10s.sm_active_permille_count + excluded.sm_active_permille_count,
    sm_active_permille_min = least(facility_rollup_10s.sm_active_permille_min, excluded.sm_active_permille_min),
    sm_active_permille_max = greatest(facility_rollup_10s.sm_active_permille_max, excluded.sm_active_permille_max),
    tensor_active_permille_sum = facility_rollup_10s.tensor_active_permille_sum + excluded.tensor_active_permille_sum,
    tensor_active_permille_count = facility_rollup_10s.tensor_active_permille_count + excluded.tensor_active_permille_count,
    tensor_active_permille_min = least(facility_rollup_10s.tensor_active_permille_min, excluded.tensor_active_permille_min),
    tensor_active_permille_max = greatest(facility_rollup_10s.tensor_active_permille_max, excluded.tensor_active_permille_max);

-- name: merge_rack_rollup
-- Add; in key order, so that two collectors cannot block each other.
insert into rack_rollup_1m (
    bucket,
    rack_id,
    sample_rows,
    throttled_rows,
    utilization_gpu_percent_sum,
    utilization_gpu_percent_count,
    utilization_gpu_percent_min,
    utilization_gpu_percent_max,
    memory_used_mebibytes_sum,
    memory_used_mebibytes_count,
    memory_used_mebibytes_min,
    memory_used_mebibytes_max,
    temperature_gpu_celsius_sum,
    temperature_gpu_celsius_count,
    temperature_gpu_celsius_min,
    temperature_gpu_celsius_max,
    temperature_memory_celsius_sum,
    temperature_memory_celsius_count,
    temperature_memory_celsius_min,
    temperature_memory_celsius_max,
    temperature_margin_celsius_sum,
    temperature_margin_celsius_count,
    temperature_margin_celsius_min,
    temperature_margin_celsius_max,
    power_milliwatts_sum,
    power_milliwatts_count,
    power_milliwatts_min,
    power_milliwatts_max,
    clock_sm_megahertz_sum,
    clock_sm_megahertz_count,
    clock_sm_megahertz_min,
    clock_sm_megahertz_max,
    sm_active_permille_sum,
    sm_active_permille_count,
    sm_active_permille_min,
    sm_active_permille_max,
    tensor_active_permille_sum,
    tensor_active_permille_count,
    tensor_active_permille_min,
    tensor_active_permille_max
)
select
    bucket,
    rack_id,
    sample_rows,
    throttled_rows,
    utilization_gpu_percent_sum,
    utilization_gpu_percent_count,
    utilization_gpu_percent_min,
    utilization_gpu_percent_max,
    memory_used_mebibytes_sum,
    memory_used_mebibytes_count,
    memory_used_mebibytes_min,
    memory_used_mebibytes_max,
    temperature_gpu_celsius_sum,
    temperature_gpu_celsius_count,
    temperature_gpu_celsius_min,
    temperature_gpu_celsius_max,
    temperature_memory_celsius_sum,
    temperature_memory_celsius_count,
    temperature_memory_celsius_min,
    temperature_memory_celsius_max,
    temperature_margin_celsius_sum,
    temperature_margin_celsius_count,
    temperature_margin_celsius_min,
    temperature_margin_celsius_max,
    power_milliwatts_sum,
    power_milliwatts_count,
    power_milliwatts_min,
    power_milliwatts_max,
    clock_sm_megahertz_sum,
    clock_sm_megahertz_count,
    clock_sm_megahertz_min,
    clock_sm_megahertz_max,
    sm_active_permille_sum,
    sm_active_permille_count,
    sm_active_permille_min,
    sm_active_permille_max,
    tensor_active_permille_sum,
    tensor_active_permille_count,
    tensor_active_permille_min,
    tensor_active_permille_max
from rack_rollup_in
order by rack_id, bucket
on conflict (rack_id, bucket) do update
set
    sample_rows = rack_rollup_1m.sample_rows + excluded.sample_rows,
    throttled_rows = rack_rollup_1m.throttled_rows + excluded.throttled_rows,
    utilization_gpu_percent_sum = rack_rollup_1m.utilization_gpu_percent_sum + excluded.utilization_gpu_percent_sum,
    utilization_gpu_percent_count = rack_rollup_1m.utilization_gpu_percent_count + excluded.utilization_gpu_percent_count,
    utilization_gpu_percent_min = least(rack_rollup_1m.utilization_gpu_percent_min, excluded.utilization_gpu_percent_min),
    utilization_gpu_percent_max = greatest(rack_rollup_1m.utilization_gpu_percent_max, excluded.utilization_gpu_percent_max),
    memory_used_mebibytes_sum = rack_rollup_1m.memory_used_mebibytes_sum + excluded.memory_used_mebibytes_sum,
    memory_used_mebibytes_count = rack_rollup_1m.memory_used_mebibytes_count + excluded.memory_used_mebibytes_count,
    memory_used_mebibytes_min = least(rack_rollup_1m.memory_used_mebibytes_min, excluded.memory_used_mebibytes_min),
    memory_used_mebibytes_max = greatest(rack_rollup_1m.memory_used_mebibytes_max, excluded.memory_used_mebibytes_max),
    temperature_gpu_celsius_sum = rack_rollup_1m.temperature_gpu_celsius_sum + excluded.temperature_gpu_celsius_sum,
    temperature_gpu_celsius_count = rack_rollup_1m.temperature_gpu_celsius_count + excluded.temperature_gpu_celsius_count,
    temperature_gpu_celsius_min = least(rack_rollup_1m.temperature_gpu_celsius_min, excluded.temperature_gpu_celsius_min),
    temperature_gpu_celsius_max = greatest(rack_rollup_1m.temperature_gpu_celsius_max, excluded.temperature_gpu_celsius_max),
    temperature_memory_celsius_sum = rack_rollup_1m.temperature_memory_celsius_sum + excluded.temperature_memory_celsius_sum,
    temperature_memory_celsius_count = rack_rollup_1m.temperature_memory_celsius_count + excluded.temperature_memory_celsius_count,
    temperature_memory_celsius_min = least(rack_rollup_1m.temperature_memory_celsius_min, excluded.temperature_memory_celsius_min),
    temperature_memory_celsius_max = greatest(rack_rollup_1m.temperature_memory_celsius_max, excluded.temperature_memory_celsius_max),
    temperature_margin_celsius_sum = rack_rollup_1m.temperature_margin_celsius_sum + excluded.temperature_margin_celsius_sum,
    temperature_margin_celsius_count = rack_rollup_1m.temperature_margin_celsius_count + excluded.temperature_margin_celsius_count,
    temperature_margin_celsius_min = least(rack_rollup_1m.temperature_margin_celsius_min, excluded.temperature_margin_celsius_min),
    temperature_margin_celsius_max = greatest(rack_rollup_1m.temperature_margin_celsius_max, excluded.temperature_margin_celsius_max),
    power_milliwatts_sum = rack_rollup_1m.power_milliwatts_sum + excluded.power_milliwatts_sum,
    power_milliwatts_count = rack_rollup_1m.power_milliwatts_count + excluded.power_milliwatts_count,
    power_milliwatts_min = least(rack_rollup_1m.power_milliwatts_min, excluded.power_milliwatts_min),
    power_milliwatts_max = greatest(rack_rollup_1m.power_milliwatts_max, excluded.power_milliwatts_max),
    clock_sm_megahertz_sum = rack_rollup_1m.clock_sm_megahertz_sum + excluded.clock_sm_megahertz_sum,
    clock_sm_megahertz_count = rack_rollup_1m.clock_sm_megahertz_count + excluded.clock_sm_megahertz_count,
    clock_sm_megahertz_min = least(rack_rollup_1m.clock_sm_megahertz_min, excluded.clock_sm_megahertz_min),
    clock_sm_megahertz_max = greatest(rack_rollup_1m.clock_sm_megahertz_max, excluded.clock_sm_megahertz_max),
    sm_active_permille_sum = rack_rollup_1m.sm_active_permille_sum + excluded.sm_active_permille_sum,
    sm_active_permille_count = rack_rollup_1m.sm_active_permille_count + excluded.sm_active_permille_count,
    sm_active_permille_min = least(rack_rollup_1m.sm_active_permille_min, excluded.sm_active_permille_min),
    sm_active_permille_max = greatest(rack_rollup_1m.sm_active_permille_max, excluded.sm_active_permille_max),
    tensor_active_permille_sum = rack_rollup_1m.tensor_active_permille_sum + excluded.tensor_active_permille_sum,
    tensor_active_permille_count = rack_rollup_1m.tensor_active_permille_count + excluded.tensor_active_permille_count,
    tensor_active_permille_min = least(rack_rollup_1m.tensor_active_permille_min, excluded.tensor_active_permille_min),
    tensor_active_permille_max = greatest(rack_rollup_1m.tensor_active_permille_max, excluded.tensor_active_permille_max);

-- name: store_events
-- What happened, all of a batch at once, since a trigger counts faults after each statement. The marks
-- keep repeats out; the key is a second line.
insert into events (
    time,
    host_id,
    gpu_id,
    kind,
    code,
    message,
    detail,
    boot_epoch,
    seq,
    position
)
select *
from unnest(
    %(time)s::timestamptz[],
    %(host_id)s::integer[],
    %(gpu_id)s::integer[],
    %(kind)s::text[],
    %(code)s::bigint[],
    %(message)s::text[],
    %(detail)s::jsonb[],
    %(boot_epoch)s::bigint[],
    %(seq)s::bigint[],
    %(position)s::smallint[]
);

-- name: store_heartbeat
-- An agent about itself; newest wins.
insert into agent_state (
    host_id,
    time,
    boot_epoch,
    agent_version,
    sample_interval_ms,
    tick_duration_us,
    spool_messages,
    spool_bytes,
    spool_oldest,
    resident_bytes,
    counters,
    signed
)
values (
    %(host_id)s,
    %(time)s,
    %(boot_epoch)s,
    %(agent_version)s,
    %(sample_interval_ms)s,
    %(tick_duration_us)s,
    %(spool_messages)s,
    %(spool_bytes)s,
    %(spool_oldest)s,
    %(resident_bytes)s,
    %(counters)s,
    %(signed)s
)
on conflict (host_id) do update
set
    time = excluded.time,
    boot_epoch = excluded.boot_epoch,
    agent_version = excluded.agent_version,
    sample_interval_ms = excluded.sample_interval_ms,
    tick_duration_us = excluded.tick_duration_us,
    spool_messages = excluded.spool_messages,
    spool_bytes = excluded.spool_bytes,
    spool_oldest = excluded.spool_oldest,
    resident_bytes = excluded.resident_bytes,
    counters = excluded.counters,
    signed = excluded.signed
where agent_state.boot_epoch < excluded.boot_epoch
    or (agent_state.boot_epoch = excluded.boot_epoch and agent_state.time <= excluded.time);

-- name: merge_workloads
-- What holds the accelerators of a host, all of it: what is no longer told has ended, what is new
-- has begun. A telling that is older than the newest changes nothing here.
with told as (
    select *
    from jsonb_to_recordset(%(rows)s::jsonb) as r (
        gpu_id integer,
        source text,
        job text,
        step text,
        namespace text,
        user_name text,
        started_at timestamptz,
        processes bigint,
        memory_mebibytes bigint
    )
    where not exists (
        select
        from workload_intervals n
        where n.host_id = %(host_id)s
            and greatest(n.seen_at, n.ended_at) > %(time)s
    )
),
believed as (
    select not exists (
        select
        from workload_intervals n
        where n.host_id = %(host_id)s
            and greatest(n.seen_at, n.ended_at) > %(time)s
    ) as newest
),
ended as (
    update workload_intervals w
    set ended_at = %(time)s
    from believed b
    where b.newest
        and w.host_id = %(host_id)s
        and w.ended_at is null
        and not exists (
            select
            from told t
            where t.gpu_id = w.gpu_id
                and t.source = w.source
                and t.job = w.job
                and t.step = w.step
        )
),
kept as (
    update workload_intervals w
    set
        seen_at = %(time)s,
        processes = t.processes,
        memory_mebibytes = t.memory_mebibytes
    from told t
    where w.host_id = %(host_id)s
        and w.ended_at is null
        and t.gpu_id = w.gpu_id
        and t.source = w.source
        and t.job = w.job
        and t.step = w.step
    returning w.gpu_id, w.source, w.job, w.step
)
insert into workload_intervals (
    host_id,
    gpu_id,
    source,
    job,
    step,
    namespace,
    user_name,
    started_at,
    seen_at,
    processes,
    memory_mebibytes
)
select
    %(host_id)s,
    t.gpu_id,
    t.source,
    t.job,
    t.step,
    t.namespace,
    t.user_name,
    least(t.started_at, %(time)s),
    %(time)s,
    t.processes,
    t.memory_mebibytes
from told t
where not exists (
    select
    from kept k
    where k.gpu_id = t.gpu_id
        and k.source = t.source
        and k.job = t.job
        and k.step = t.step
);

-- name: merge_late_workloads
-- A telling that is older than the newest, from a backlog that is read in its own order: work that it
-- tells and nobody knows has an interval that ends with it, and goes on with the next that tells it;
-- what it does not tell any more has ended then at the latest.
with told as (
    select *
    from jsonb_to_recordset(%(rows)s::jsonb) as r (
        gpu_id integer,
        source text,
        job text,
        step text,
        namespace text,
        user_name text,
        started_at timestamptz,
        processes bigint,
        memory_mebibytes bigint
    )
),
late as (
    select exists (
        select
        from workload_intervals n
        where n.host_id = %(host_id)s
            and greatest(n.seen_at, n.ended_at) > %(time)s
    ) as is_late
),
around as (
    -- An end at which it was seen is only the last that is known so far.
    select
        w.ctid,
        w.ended_at = w.seen_at as is_open,
        t.gpu_id is not null as is_told
    from late l
    join workload_intervals w on l.is_late
        and w.host_id = %(host_id)s
        and w.started_at <= %(time)s
        and w.seen_at < %(time)s
        and (w.ended_at > %(time)s or w.ended_at = w.seen_at)
    left join told t using (gpu_id, source, job, step)
),
moved as (
    update workload_intervals w
    set
        seen_at = case when a.is_told then %(time)s else w.seen_at end,
        ended_at = case when a.is_open or not a.is_told then %(time)s else w.ended_at end
    from around a
    where w.ctid = a.ctid
    returning w.gpu_id, w.source, w.job, w.step, a.is_told
)
insert into workload_intervals (
    host_id,
    gpu_id,
    source,
    job,
    step,
    namespace,
    user_name,
    started_at,
    seen_at,
    ended_at,
    processes,
    memory_mebibytes
)
select
    %(host_id)s,
    t.gpu_id,
    t.source,
    t.job,
    t.step,
    t.namespace,
    t.user_name,
    least(t.started_at, %(time)s),
    %(time)s,
    %(time)s,
    t.processes,
    t.memory_mebibytes
from told t
join late l on l.is_late
where not exists (
    select
    from moved m
    where m.is_told
        and m.gpu_id = t.gpu_id
        and m.source = t.source
        and m.job = t.job
        and m.step = t.step
)
and not exists (
    select
    from workload_intervals w
    where w.host_id = %(host_id)s
        and w.gpu_id = t.gpu_id
        and w.source = t.source
        and w.job = t.job
        and w.step = t.step
        and w.started_at <= %(time)s
        and coalesce(w.ended_at, 'infinity') >= %(time)s
);

-- name: store_queue_sample
-- A queue snapshot as it came.
insert into queue_samples (
    time,
    facility_id,
    host_id,
    source,
    queue,
    unit,
    waiting,
    running,
    gpus_waiting,
    gpus_running,
    gpu_seconds_waiting,
    oldest_wait_seconds,
    wait_milliseconds,
    arrivals_per_second,
    completions_per_second
)
values (
    %(time)s,
    %(facility_id)s,
    %(host_id)s,
    %(source)s,
    %(queue)s,
    %(unit)s,
    %(waiting)s,
    %(running)s,
    %(gpus_waiting)s,
    %(gpus_running)s,
    %(gpu_seconds_waiting)s,
    %(oldest_wait_seconds)s,
    %(wait_milliseconds)s,
    %(arrivals_per_second)s,
    %(completions_per_second)s
);

-- name: merge_queue_state
-- The newest snapshot of a queue.
insert into queue_state (
    time,
    facility_id,
    source,
    queue,
    unit,
    waiting,
    running,
    gpus_waiting,
    gpus_running,
    gpu_seconds_waiting,
    oldest_wait_seconds,
    wait_milliseconds,
    arrivals_per_second,
    completions_per_second
)
values (
    %(time)s,
    %(facility_id)s,
    %(source)s,
    %(queue)s,
    %(unit)s,
    %(waiting)s,
    %(running)s,
    %(gpus_waiting)s,
    %(gpus_running)s,
    %(gpu_seconds_waiting)s,
    %(oldest_wait_seconds)s,
    %(wait_milliseconds)s,
    %(arrivals_per_second)s,
    %(completions_per_second)s
)
on conflict (facility_id, source, queue) do update
set
    time = excluded.time,
    unit = excluded.unit,
    waiting = excluded.waiting,
    running = excluded.running,
    gpus_waiting = excluded.gpus_waiting,
    gpus_running = excluded.gpus_running,
    gpu_seconds_waiting = excluded.gpu_seconds_waiting,
    oldest_wait_seconds = excluded.oldest_wait_seconds,
    wait_milliseconds = excluded.wait_milliseconds,
    arrivals_per_second = excluded.arrivals_per_second,
    completions_per_second = excluded.completions_per_second
where queue_state.time <= excluded.time;

-- name: tell
-- Wake those who wait for new data; sent once a commit.
select pg_notify('fleetgauge_stored', %(payload)s);
