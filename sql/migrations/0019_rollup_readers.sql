-- What the pages read: each rollup at each step as one relation, whichever tables it is made of. A step
-- that is not over yet is read from the finer rollup; what single accelerators' messages came to is
-- added to what is moved. Locks both sample tables against writing while their rows are indexed.

create function rollup_closed(step integer)
returns timestamptz
language sql
stable
as $$
    select coalesce(
        (select closed_before from rollup_progress where step_s = step), '-infinity'::timestamptz
    )
$$;
comment on function rollup_closed is 'before this time a step has been made; what is newer is read from the finer rollup';

create view facility_rollup with (security_invoker) as
select 10 as step_s, r.* from facility_rollup_10s r
union all
select 60, r.* from facility_rollup_1m r where r.bucket < rollup_closed(300)
union all
select 60, r.* from facility_rollup_10s r where r.bucket >= rollup_closed(300)
union all
select 3600, r.* from facility_rollup_1h r where r.bucket < rollup_closed(3600)
union all
select 3600, r.* from facility_rollup_10s r where r.bucket >= rollup_closed(3600);
comment on view facility_rollup is 'sums by facility for charts of a step: 10, 60 or 3600 s; rows may be finer than that';

create view rack_rollup with (security_invoker) as
select 60 as step_s, r.* from rack_rollup_1m r
union all
select 3600, r.* from rack_rollup_1h r where r.bucket < rollup_closed(3600)
union all
select 3600, r.* from rack_rollup_1m r where r.bucket >= rollup_closed(3600);
comment on view rack_rollup is 'sums by rack for charts of a step: 60 or 3600 s; rows may be finer than that';

create function gpu_rollup(
    step integer, host integer, gpus integer[], starts_at timestamptz, ends_at timestamptz
)
returns table (
    bucket timestamptz,
    gpu_id integer,
    sample_rows integer,
    throttled_rows integer,
    clock_event_reasons_bitmask integer,
    reader_status_code smallint,
    utilization_gpu_percent_sum bigint,
    utilization_gpu_percent_count integer,
    utilization_gpu_percent_min smallint,
    utilization_gpu_percent_max smallint,
    memory_used_mebibytes_sum bigint,
    memory_used_mebibytes_count integer,
    memory_used_mebibytes_min integer,
    memory_used_mebibytes_max integer,
    temperature_gpu_celsius_sum bigint,
    temperature_gpu_celsius_count integer,
    temperature_gpu_celsius_min smallint,
    temperature_gpu_celsius_max smallint,
    temperature_memory_celsius_sum bigint,
    temperature_memory_celsius_count integer,
    temperature_memory_celsius_min smallint,
    temperature_memory_celsius_max smallint,
    temperature_margin_celsius_sum bigint,
    temperature_margin_celsius_count integer,
    temperature_margin_celsius_min smallint,
    temperature_margin_celsius_max smallint,
    power_milliwatts_sum bigint,
    power_milliwatts_count integer,
    power_milliwatts_min integer,
    power_milliwatts_max integer,
    clock_sm_megahertz_sum bigint,
    clock_sm_megahertz_count integer,
    clock_sm_megahertz_min smallint,
    clock_sm_megahertz_max smallint,
    sm_active_permille_sum bigint,
    sm_active_permille_count integer,
    sm_active_permille_min smallint,
    sm_active_permille_max smallint,
    tensor_active_permille_sum bigint,
    tensor_active_permille_count integer,
    tensor_active_permille_min smallint,
    tensor_active_permille_max smallint
)
language sql
stable
as $$
    select
        bucket,
        gpu_id,
        sample_rows,
        throttled_rows,
        clock_event_reasons_bitmask,
        reader_status_code,
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
    from gpu_rollup_1h
    where step >= 3600
        and gpu_id = any(gpus)
        and bucket >= starts_at
        and bucket < ends_at
    union all
    select
        bucket,
        gpu_id,
        sample_rows,
        throttled_rows,
        clock_event_reasons_bitmask,
        reader_status_code,
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
    from gpu_rollup_1m
    where step < 3600
        and gpu_id = any(gpus)
        and bucket >= starts_at
        and bucket < ends_at
    union all
    select
        p.time,
        p.gpu_ids[n],
        p.sample_rows[n],
        p.throttled_rows[n],
        p.clock_event_reasons_bitmask[n],
        p.reader_status_code[n],
        p.utilization_gpu_percent_sum[n],
        p.utilization_gpu_percent_count[n],
        p.utilization_gpu_percent_min[n],
        p.utilization_gpu_percent_max[n],
        p.memory_used_mebibytes_sum[n],
        p.memory_used_mebibytes_count[n],
        p.memory_used_mebibytes_min[n],
        p.memory_used_mebibytes_max[n],
        p.temperature_gpu_celsius_sum[n],
        p.temperature_gpu_celsius_count[n],
        p.temperature_gpu_celsius_min[n],
        p.temperature_gpu_celsius_max[n],
        p.temperature_memory_celsius_sum[n],
        p.temperature_memory_celsius_count[n],
        p.temperature_memory_celsius_min[n],
        p.temperature_memory_celsius_max[n],
        p.temperature_margin_celsius_sum[n],
        p.temperature_margin_celsius_count[n],
        p.temperature_margin_celsius_min[n],
        p.temperature_margin_celsius_max[n],
        p.power_milliwatts_sum[n],
        p.power_milliwatts_count[n],
        p.power_milliwatts_min[n],
        p.power_milliwatts_max[n],
        p.clock_sm_megahertz_sum[n],
        p.clock_sm_megahertz_count[n],
        p.clock_sm_megahertz_min[n],
        p.clock_sm_megahertz_max[n],
        p.sm_active_permille_sum[n],
        p.sm_active_permille_count[n],
        p.sm_active_permille_min[n],
        p.sm_active_permille_max[n],
        p.tensor_active_permille_sum[n],
        p.tensor_active_permille_count[n],
        p.tensor_active_permille_min[n],
        p.tensor_active_permille_max[n]
    from gpu_rollup_parts p
    cross join lateral generate_series(1, cardinality(p.gpu_ids)) n
    where p.host_id = host
        and p.time >= starts_at
        and p.time < ends_at
        and p.gpu_ids[n] = any(gpus)
$$;
comment on function gpu_rollup is 'sums of accelerators of one host, by minute or, from a step of 3600 s on, by hour; those of the last hour or two are finer; a key may stand several times';

-- Slow rows are one in thirty, so that an index by accelerator from the start costs little. Fast ones get
-- theirs when their partition is over; until then the newest minutes are found by time.
create index slow_samples_gpu on slow_samples (gpu_id, time);
create index samples_time on samples using brin (time) with (pages_per_range = 32, autosummarize = on);

select
    let_dashboard_read('facility_rollup_1m'),
    let_dashboard_read('facility_rollup_1h'),
    let_dashboard_read('rack_rollup_1h'),
    let_dashboard_read('facility_spread'),
    let_dashboard_read('rollup_progress', 'true'),
    let_dashboard_read_through_view('gpu_rollup_parts'),
    let_dashboard_read_through_view('gpu_rollup_1m'),
    let_dashboard_read_through_view('gpu_rollup_1h');
grant select on facility_rollup, rack_rollup to fleetgauge_reader;
