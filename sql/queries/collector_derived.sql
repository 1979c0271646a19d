-- Rollups that are made of others, step by step, once a step is over and again when it changes.
-- `offset 0` keeps each step and place a look-up by key: otherwise the plan for an unknown number of
-- steps is to read the whole table.

-- name: clear_facility_1m
-- Make room for what is made anew.
delete from facility_rollup_1m o
using unnest(%(facility_ids)s::integer[], %(buckets)s::timestamptz[]) as d (facility_id, bucket)
where o.facility_id = d.facility_id
    and o.bucket >= d.bucket
    and o.bucket < d.bucket + interval '5 min';

-- name: make_facility_1m
-- Facilities by minute.
insert into facility_rollup_1m (
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
    date_bin('1 min', r.bucket, 'epoch'::timestamptz),
    r.facility_id,
    sum(r.sample_rows),
    sum(r.throttled_rows),
    sum(r.utilization_gpu_percent_sum),
    sum(r.utilization_gpu_percent_count),
    min(r.utilization_gpu_percent_min),
    max(r.utilization_gpu_percent_max),
    sum(r.memory_used_mebibytes_sum),
    sum(r.memory_used_mebibytes_count),
    min(r.memory_used_mebibytes_min),
    max(r.memory_used_mebibytes_max),
    sum(r.temperature_gpu_celsius_sum),
    sum(r.temperature_gpu_celsius_count),
    min(r.temperature_gpu_celsius_min),
    max(r.temperature_gpu_celsius_max),
    sum(r.temperature_memory_celsius_sum),
    sum(r.temperature_memory_celsius_count),
    min(r.temperature_memory_celsius_min),
    max(r.temperature_memory_celsius_max),
    sum(r.temperature_margin_celsius_sum),
    sum(r.temperature_margin_celsius_count),
    min(r.temperature_margin_celsius_min),
    max(r.temperature_margin_celsius_max),
    sum(r.power_milliwatts_sum),
    sum(r.power_milliwatts_count),
    min(r.power_milliwatts_min),
    max(r.power_milliwatts_max),
    sum(r.clock_sm_megahertz_sum),
    sum(r.clock_sm_megahertz_count),
    min(r.clock_sm_megahertz_min),
    max(r.clock_sm_megahertz_max),
    sum(r.sm_active_permille_sum),
    sum(r.sm_active_permille_count),
    min(r.sm_active_permille_min),
    max(r.sm_active_permille_max),
    sum(r.tensor_active_permille_sum),
    sum(r.tensor_active_permille_count),
    min(r.tensor_active_permille_min),
    max(r.tensor_active_permille_max)
from unnest(%(facility_ids)s::integer[], %(buckets)s::timestamptz[]) as d (facility_id, bucket)
cross join lateral (
    select *
    from facility_rollup_10s
    where facility_id = d.facility_id
        and bucket >= d.bucket
        and bucket < d.bucket + interval '5 min'
    offset 0
) r
group by 1, 2;

-- name: clear_facility_1h
-- Make room for what is made anew.
delete from facility_rollup_1h o
using unnest(%(facility_ids)s::integer[], %(buckets)s::timestamptz[]) as d (facility_id, bucket)
where o.facility_id = d.facility_id
    and o.bucket >= d.bucket
    and o.bucket < d.bucket + interval '1 hour';

-- name: make_facility_1h
-- Facilities by hour.
insert into facility_rollup_1h (
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
    date_bin('1 hour', r.bucket, 'epoch'::timestamptz),
    r.facility_id,
    sum(r.sample_rows),
    sum(r.throttled_rows),
    sum(r.utilization_gpu_percent_sum),
    sum(r.utilization_gpu_percent_count),
    min(r.utilization_gpu_percent_min),
    max(r.utilization_gpu_percent_max),
    sum(r.memory_used_mebibytes_sum),
    sum(r.memory_used_mebibytes_count),
    min(r.memory_used_mebibytes_min),
    max(r.memory_used_mebibytes_max),
    sum(r.temperature_gpu_celsius_sum),
    sum(r.temperature_gpu_celsius_count),
    min(r.temperature_gpu_celsius_min),
    max(r.temperature_gpu_celsius_max),
    sum(r.temperature_memory_celsius_sum),
    sum(r.temperature_memory_celsius_count),
    min(r.temperature_memory_celsius_min),
    max(r.temperature_memory_celsius_max),
    sum(r.temperature_margin_celsius_sum),
    sum(r.temperature_margin_celsius_count),
    min(r.temperature_margin_celsius_min),
    max(r.temperature_margin_celsius_max),
    sum(r.power_milliwatts_sum),
    sum(r.power_milliwatts_count),
    min(r.power_milliwatts_min),
    max(r.power_milliwatts_max),
    sum(r.clock_sm_megahertz_sum),
    sum(r.clock_sm_megahertz_count),
    min(r.clock_sm_megahertz_min),
    max(r.clock_sm_megahertz_max),
    sum(r.sm_active_permille_sum),
    sum(r.sm_active_permille_count),
    min(r.sm_active_permille_min),
    max(r.sm_active_permille_max),
    sum(r.tensor_active_permille_sum),
    sum(r.tensor_active_permille_count),
    min(r.tensor_active_permille_min),
    max(r.tensor_active_permille_max)
from unnest(%(facility_ids)s::integer[], %(buckets)s::timestamptz[]) as d (facility_id, bucket)
cross join lateral (
    select *
    from facility_rollup_10s
    where facility_id = d.facility_id
        and bucket >= d.bucket
        and bucket < d.bucket + interval '1 hour'
    offset 0
) r
group by 1, 2;

-- name: clear_rack_1h
-- Make room for what is made anew.
delete from rack_rollup_1h o
using racks k, unnest(%(facility_ids)s::integer[], %(buckets)s::timestamptz[]) as d (facility_id, bucket)
where k.facility_id = d.facility_id
    and o.rack_id = k.rack_id
    and o.bucket >= d.bucket
    and o.bucket < d.bucket + interval '1 hour';

-- name: make_rack_1h
-- Racks by hour.
insert into rack_rollup_1h (
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
    date_bin('1 hour', r.bucket, 'epoch'::timestamptz),
    r.rack_id,
    sum(r.sample_rows),
    sum(r.throttled_rows),
    sum(r.utilization_gpu_percent_sum),
    sum(r.utilization_gpu_percent_count),
    min(r.utilization_gpu_percent_min),
    max(r.utilization_gpu_percent_max),
    sum(r.memory_used_mebibytes_sum),
    sum(r.memory_used_mebibytes_count),
    min(r.memory_used_mebibytes_min),
    max(r.memory_used_mebibytes_max),
    sum(r.temperature_gpu_celsius_sum),
    sum(r.temperature_gpu_celsius_count),
    min(r.temperature_gpu_celsius_min),
    max(r.temperature_gpu_celsius_max),
    sum(r.temperature_memory_celsius_sum),
    sum(r.temperature_memory_celsius_count),
    min(r.temperature_memory_celsius_min),
    max(r.temperature_memory_celsius_max),
    sum(r.temperature_margin_celsius_sum),
    sum(r.temperature_margin_celsius_count),
    min(r.temperature_margin_celsius_min),
    max(r.temperature_margin_celsius_max),
    sum(r.power_milliwatts_sum),
    sum(r.power_milliwatts_count),
    min(r.power_milliwatts_min),
    max(r.power_milliwatts_max),
    sum(r.clock_sm_megahertz_sum),
    sum(r.clock_sm_megahertz_count),
    min(r.clock_sm_megahertz_min),
    max(r.clock_sm_megahertz_max),
    sum(r.sm_active_permille_sum),
    sum(r.sm_active_permille_count),
    min(r.sm_active_permille_min),
    max(r.sm_active_permille_max),
    sum(r.tensor_active_permille_sum),
    sum(r.tensor_active_permille_count),
    min(r.tensor_active_permille_min),
    max(r.tensor_active_permille_max)
from unnest(%(facility_ids)s::integer[], %(buckets)s::timestamptz[]) as d (facility_id, bucket)
join racks k using (facility_id)
cross join lateral (
    select *
    from rack_rollup_1m
    where rack_id = k.rack_id
        and bucket >= d.bucket
        and bucket < d.bucket + interval '1 hour'
    offset 0
) r
group by 1, 2;

-- name: clear_spread
-- Make room for what is made anew.
delete from facility_spread o
using unnest(%(facility_ids)s::integer[], %(buckets)s::timestamptz[]) as d (facility_id, bucket)
where o.facility_id = d.facility_id
    and o.step_s = %(step_s)s
    and o.bucket >= d.bucket
    and o.bucket < d.bucket + make_interval(secs => %(period_s)s);

-- name: make_spread
-- How far the racks of a facility lie apart, by step.
with rack_means as (
    select
        k.facility_id,
        date_bin(make_interval(secs => %(step_s)s), r.bucket, 'epoch'::timestamptz) as step,
        sum(r.utilization_gpu_percent_sum)
            / nullif(sum(r.utilization_gpu_percent_count), 0)::float8 as load,
        sum(r.temperature_margin_celsius_sum)
            / nullif(sum(r.temperature_margin_celsius_count), 0)::float8 as headroom
    from unnest(%(facility_ids)s::integer[], %(buckets)s::timestamptz[]) as d (facility_id, bucket)
    join racks k using (facility_id)
    cross join lateral (
        select *
        from rack_rollup_1m
        where rack_id = k.rack_id
            and bucket >= d.bucket
            and bucket < d.bucket + make_interval(secs => %(period_s)s)
        offset 0
    ) r
    group by k.facility_id, step, r.rack_id
)
insert into facility_spread (
    step_s,
    bucket,
    facility_id,
    racks,
    load_p10,
    load_p90,
    headroom_p10,
    headroom_p90
)
select
    %(step_s)s,
    step,
    facility_id,
    count(*),
    percentile_cont(0.1) within group (order by load),
    percentile_cont(0.9) within group (order by load),
    percentile_cont(0.1) within group (order by headroom),
    percentile_cont(0.9) within group (order by headroom)
from rack_means
group by facility_id, step;
