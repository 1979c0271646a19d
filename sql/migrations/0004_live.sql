-- The latest of everything: what the live views and the fast alerts read.
-- Locks nothing: all tables are new.

create table host_state (
    host_id integer primary key references hosts,
    time timestamptz,
    slow_time timestamptz,
    received_at timestamptz not null default now(),
    boot_epoch bigint not null,
    seq bigint not null,
    gpu_ids integer[] not null,
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
    reader_status_code smallint[],
    power_limit_milliwatts integer[],
    ecc_uncorrected_volatile_count bigint[],
    remap_pending_flag smallint[],
    remap_failed_flag smallint[],
    nvlink_active_links_count smallint[],
    recovery_action_code smallint[],
    processes_count smallint[]
) with (fillfactor = 50);
comment on table host_state is 'one row a host: its newest tick, one array element an accelerator in the order of gpu_ids; time is of the fast metrics, slow_time of the slow ones';

create table agent_state (
    host_id integer primary key references hosts,
    time timestamptz not null,
    boot_epoch bigint not null,
    agent_version text not null,
    sample_interval_ms bigint not null,
    tick_duration_us bigint not null,
    spool_messages bigint not null,
    spool_bytes bigint not null,
    spool_oldest timestamptz,
    resident_bytes bigint not null,
    counters jsonb not null default '{}',
    signed boolean not null default false
) with (fillfactor = 50);
comment on table agent_state is 'the newest heartbeat of each agent';

create table queue_state (
    facility_id integer not null references facilities,
    source text not null,
    queue text not null,
    time timestamptz not null,
    unit text not null,
    waiting double precision,
    running double precision,
    gpus_waiting double precision,
    gpus_running double precision,
    gpu_seconds_waiting double precision,
    oldest_wait_seconds double precision,
    wait_milliseconds double precision,
    arrivals_per_second double precision,
    completions_per_second double precision,
    primary key (facility_id, source, queue)
) with (fillfactor = 50);
comment on table queue_state is 'the newest snapshot of each queue';
