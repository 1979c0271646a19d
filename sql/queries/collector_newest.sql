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
