-- Rollups: what a batch adds, and what is made of it once its time is over.

-- name: copy_gpu_parts
-- What each message comes to: one row a host and minute, one array element an accelerator.
copy gpu_rollup_parts (
    time,
    host_id,
    gpu_ids,
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
)
from stdin (format binary);

-- name: part_hours
-- Hours of arrival, the oldest first, that may have parts and are over.
select starts_at
from gpu_rollup_part_hours()
where starts_at + interval '1 hour' <= now() - %(kept)s::interval
order by 1;

-- name: empty_before
-- Up to where all hours of arrival are empty, and over for a while; the hours come in order.
select max(starts_at) + interval '1 hour'
from gpu_rollup_part_hours() h
where starts_at + interval '1 hour' <= now() - %(kept)s::interval
    and not exists (
        select from gpu_rollup_parts p
        where p.stored_at < h.starts_at + interval '1 hour'
    );

-- name: make_part_room
-- Partitions for the parts of this hour and the next ones.
select make_partition(
    'gpu_rollup_parts',
    date_bin('1 hour', now(), 'epoch'::timestamptz) + n * interval '1 hour',
    date_bin('1 hour', now(), 'epoch'::timestamptz) + (n + 1) * interval '1 hour'
)
from generate_series(0, %(hours)s::integer) n;

-- name: part_hosts
-- The first and the last host with parts of an hour of arrival.
select min(host_id), max(host_id)
from gpu_rollup_parts
where stored_at >= %(starts_at)s
    and stored_at < %(ends_at)s;

-- name: part_days
-- The days that the parts of an hour of arrival belong to.
select distinct date_bin('1 day', time, 'epoch'::timestamptz)
from gpu_rollup_parts
where stored_at >= %(starts_at)s
    and stored_at < %(ends_at)s
order by 1;

-- name: move_parts
-- Move the parts of some hosts to minutes and hours, in the order in which they are read. The columns
-- of `minutes` are those of both tables, in their order. Elements are picked by their numbers: `unnest`
-- of so many arrays costs several times as much.
with moved as (
    delete from gpu_rollup_parts
    where stored_at >= %(starts_at)s
        and stored_at < %(ends_at)s
        and host_id >= %(first_host)s
        and host_id < %(end_host)s
    returning *
),
minutes as (
    select
        date_bin('1 min', m.time, 'epoch'::timestamptz) as bucket,
        m.gpu_ids[n] as gpu_id,
        sum(m.sample_rows[n])::integer as sample_rows,
        sum(m.throttled_rows[n])::integer as throttled_rows,
        bit_or(m.clock_event_reasons_bitmask[n]) as clock_event_reasons_bitmask,
        max(m.reader_status_code[n]) as reader_status_code,
        sum(m.utilization_gpu_percent_sum[n])::integer as utilization_gpu_percent_sum,
        sum(m.utilization_gpu_percent_count[n])::integer as utilization_gpu_percent_count,
        min(m.utilization_gpu_percent_min[n]) as utilization_gpu_percent_min,
        max(m.utilization_gpu_percent_max[n]) as utilization_gpu_percent_max,
        sum(m.memory_used_mebibytes_sum[n])::bigint as memory_used_mebibytes_sum,
        sum(m.memory_used_mebibytes_count[n])::integer as memory_used_mebibytes_count,
        min(m.memory_used_mebibytes_min[n]) as memory_used_mebibytes_min,
        max(m.memory_used_mebibytes_max[n]) as memory_used_mebibytes_max,
        sum(m.temperature_gpu_celsius_sum[n])::integer as temperature_gpu_celsius_sum,
        sum(m.temperature_gpu_celsius_count[n])::integer as temperature_gpu_celsius_count,
        min(m.temperature_gpu_celsius_min[n]) as temperature_gpu_celsius_min,
        max(m.temperature_gpu_celsius_max[n]) as temperature_gpu_celsius_max,
        sum(m.temperature_memory_celsius_sum[n])::integer as temperature_memory_celsius_sum,
        sum(m.temperature_memory_celsius_count[n])::integer as temperature_memory_celsius_count,
        min(m.temperature_memory_celsius_min[n]) as temperature_memory_celsius_min,
        max(m.temperature_memory_celsius_max[n]) as temperature_memory_celsius_max,
        sum(m.temperature_margin_celsius_sum[n])::integer as temperature_margin_celsius_sum,
        sum(m.temperature_margin_celsius_count[n])::integer as temperature_margin_celsius_count,
        min(m.temperature_margin_celsius_min[n]) as temperature_margin_celsius_min,
        max(m.temperature_margin_celsius_max[n]) as temperature_margin_celsius_max,
        sum(m.power_milliwatts_sum[n])::bigint as power_milliwatts_sum,
        sum(m.power_milliwatts_count[n])::integer as power_milliwatts_count,
        min(m.power_milliwatts_min[n]) as power_milliwatts_min,
        max(m.power_milliwatts_max[n]) as power_milliwatts_max,
        sum(m.clock_sm_megahertz_sum[n])::integer as clock_sm_megahertz_sum,
        sum(m.clock_sm_megahertz_count[n])::integer as clock_sm_megahertz_count,
        min(m.clock_sm_megahertz_min[n]) as clock_sm_megahertz_min,
        max(m.clock_sm_megahertz_max[n]) as clock_sm_megahertz_max,
        sum(m.sm_active_permille_sum[n])::integer as sm_active_permille_sum,
        sum(m.sm_active_permille_count[n])::integer as sm_active_permille_count,
        min(m.sm_active_permille_min[n]) as sm_active_permille_min,
        max(m.sm_active_permille_max[n]) as sm_active_permille_max,
        sum(m.tensor_active_permille_sum[n])::integer as tensor_active_permille_sum,
        sum(m.tensor_active_permille_count[n])::integer as tensor_active_permille_count,
        min(m.tensor_active_permille_min[n]) as tensor_active_permille_min,
        max(m.tensor_active_permille_max[n]) as tensor_active_permille_max
    from moved m
    cross join lateral generate_series(1, cardinality(m.gpu_ids)) n
    group by 1, 2
),
by_minute as (
    insert into gpu_rollup_1m
    select *
    from minutes
    order by gpu_id, bucket
),
by_hour as (
    insert into gpu_rollup_1h
    select
        date_bin('1 hour', bucket, 'epoch'::timestamptz),
        gpu_id,
        sum(sample_rows)::integer,
        sum(throttled_rows)::integer,
        bit_or(clock_event_reasons_bitmask),
        max(reader_status_code),
        sum(utilization_gpu_percent_sum)::bigint,
        sum(utilization_gpu_percent_count)::integer,
        min(utilization_gpu_percent_min),
        max(utilization_gpu_percent_max),
        sum(memory_used_mebibytes_sum)::bigint,
        sum(memory_used_mebibytes_count)::integer,
        min(memory_used_mebibytes_min),
        max(memory_used_mebibytes_max),
        sum(temperature_gpu_celsius_sum)::bigint,
        sum(temperature_gpu_celsius_count)::integer,
        min(temperature_gpu_celsius_min),
        max(temperature_gpu_celsius_max),
        sum(temperature_memory_celsius_sum)::bigint,
        sum(temperature_memory_celsius_count)::integer,
        min(temperature_memory_celsius_min),
        max(temperature_memory_celsius_max),
        sum(temperature_margin_celsius_sum)::bigint,
        sum(temperature_margin_celsius_count)::integer,
        min(temperature_margin_celsius_min),
        max(temperature_margin_celsius_max),
        sum(power_milliwatts_sum)::bigint,
        sum(power_milliwatts_count)::integer,
        min(power_milliwatts_min),
        max(power_milliwatts_max),
        sum(clock_sm_megahertz_sum)::bigint,
        sum(clock_sm_megahertz_count)::integer,
        min(clock_sm_megahertz_min),
        max(clock_sm_megahertz_max),
        sum(sm_active_permille_sum)::bigint,
        sum(sm_active_permille_count)::integer,
        min(sm_active_permille_min),
        max(sm_active_permille_max),
        sum(tensor_active_permille_sum)::bigint,
        sum(tensor_active_permille_count)::integer,
        min(tensor_active_permille_min),
        max(tensor_active_permille_max)
    from minutes
    group by 1, 2
    order by 2, 1
)
select count(*)
from moved;

-- name: touch
-- Remember which steps of which facilities have changed.
insert into rollup_touched (step_s, bucket, facility_id)
select step_s, bucket, facility_id
from unnest(%(steps)s::integer[], %(buckets)s::timestamptz[], %(facility_ids)s::integer[])
    as t (step_s, bucket, facility_id);

-- name: take_touched
-- The oldest steps that have changed and are over; whoever takes them makes them anew.
with taken as (
    delete from rollup_touched
    where step_s = %(step_s)s
        and bucket in (
            select distinct bucket
            from rollup_touched
            where step_s = %(step_s)s
                and bucket < %(before)s
            order by bucket
            limit %(buckets_max)s
        )
    returning facility_id, bucket
)
select distinct facility_id, bucket
from taken
order by 1, 2;

-- name: close
-- Everything before this time has been made at least once.
insert into rollup_progress (step_s, closed_before)
values (%(step_s)s, %(before)s)
on conflict (step_s) do update
set closed_before = greatest(rollup_progress.closed_before, excluded.closed_before);
