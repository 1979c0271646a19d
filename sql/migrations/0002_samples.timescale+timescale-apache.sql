-- Raw samples, one row an accelerator and tick; columns follow the metric catalogue.
-- TimescaleDB, either edition: hypertables by time.
-- No unique index: it halves COPY speed, and the per-host marks keep duplicates out.
-- Locks nothing: all tables are new.

create table samples (
    time timestamptz not null,
    gpu_id integer not null,
    utilization_gpu_percent smallint,
    utilization_memory_percent smallint,
    utilization_encoder_percent smallint,
    utilization_decoder_percent smallint,
    utilization_jpeg_percent smallint,
    utilization_ofa_percent smallint,
    memory_used_mebibytes integer,
    temperature_gpu_celsius smallint,
    temperature_memory_celsius smallint,
    temperature_margin_celsius smallint,
    power_milliwatts integer,
    power_instant_milliwatts integer,
    energy_millijoules bigint,
    clock_sm_megahertz smallint,
    clock_memory_megahertz smallint,
    clock_video_megahertz smallint,
    clock_event_reasons_bitmask integer,
    performance_state_code smallint,
    graphics_active_permille smallint,
    sm_active_permille smallint,
    sm_occupancy_permille smallint,
    tensor_active_permille smallint,
    dram_active_permille smallint,
    fp64_active_permille smallint,
    fp32_active_permille smallint,
    fp16_active_permille smallint,
    pcie_transmit_mebibytes_per_second integer,
    pcie_receive_mebibytes_per_second integer,
    nvlink_receive_mebibytes_per_second integer,
    nvlink_transmit_mebibytes_per_second integer,
    reader_status_code smallint,
    read_failures_count smallint
);

create table slow_samples (
    time timestamptz not null,
    gpu_id integer not null,
    power_limit_milliwatts integer,
    bar1_used_mebibytes integer,
    throttled_power_nanoseconds bigint,
    throttled_thermal_nanoseconds bigint,
    ecc_corrected_volatile_count bigint,
    ecc_uncorrected_volatile_count bigint,
    ecc_corrected_aggregate_count bigint,
    ecc_uncorrected_aggregate_count bigint,
    sram_threshold_exceeded_flag smallint,
    remapped_rows_corrected_count bigint,
    remapped_rows_uncorrected_count bigint,
    remap_pending_flag smallint,
    remap_failed_flag smallint,
    retired_pages_count bigint,
    pcie_replays_count bigint,
    pcie_link_generation smallint,
    pcie_link_width_lanes smallint,
    nvlink_active_links_count smallint,
    nvlink_crc_errors_count bigint,
    nvlink_replay_errors_count bigint,
    nvlink_recovery_errors_count bigint,
    fabric_state_code smallint,
    fabric_health_bitmask bigint,
    recovery_action_code smallint,
    processes_count smallint
);

select create_hypertable('samples', by_range('time', interval '1 hour'), create_default_indexes => false);
select create_hypertable('slow_samples', by_range('time', interval '1 day'), create_default_indexes => false);
