-- The Facility page.

-- name: rollup
-- Means and extremes of a facility, by step; the extremes keep a spike of one sample visible.
select
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), bucket, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    (sum(utilization_gpu_percent_sum)
        / nullif(sum(utilization_gpu_percent_count), 0)::numeric)::float8 as load_mean,
    (sum(sm_active_permille_sum)
        / nullif(sum(sm_active_permille_count), 0)::numeric / 10)::float8 as sm_mean,
    (sum(tensor_active_permille_sum)
        / nullif(sum(tensor_active_permille_count), 0)::numeric / 10)::float8 as tensor_mean,
    (sum(temperature_margin_celsius_sum)
        / nullif(sum(temperature_margin_celsius_count), 0)::numeric)::float8 as headroom_mean,
    min(temperature_margin_celsius_min)::float8 as headroom_min,
    (sum(temperature_gpu_celsius_sum)
        / nullif(sum(temperature_gpu_celsius_count), 0)::numeric)::float8 as heat_mean,
    max(temperature_gpu_celsius_max)::float8 as heat_max,
    (sum(power_milliwatts_sum)
        / nullif(sum(power_milliwatts_count), 0)::numeric / 1000)::float8 as power_mean,
    max(power_milliwatts_max)::float8 / 1000 as power_max,
    (sum(throttled_rows) / nullif(sum(sample_rows), 0)::numeric)::float8 as throttled_share
from facility_rollup
where step_s = %(rollup_s)s
    and facility_id = %(facility_id)s
    and bucket >= to_timestamp(%(start_s)s)
    and bucket < to_timestamp(%(end_s)s)
group by 1
order by 1;

-- name: racks
-- How far the racks of a facility lie apart: the 10th and 90th percentile of their means, by step. What is not over yet is
-- made here; `offset 0` keeps that a look-up by rack.
with rack_means as (
    select
        date_bin(
            make_interval(secs => %(spread_s)s), r.bucket, 'epoch'::timestamptz
        ) as step,
        k.rack_id,
        sum(r.utilization_gpu_percent_sum)
            / nullif(sum(r.utilization_gpu_percent_count), 0)::float8 as load,
        sum(r.temperature_margin_celsius_sum)
            / nullif(sum(r.temperature_margin_celsius_count), 0)::float8 as headroom
    from racks k
    cross join lateral (
        select *
        from rack_rollup_1m
        where rack_id = k.rack_id
            and bucket >= to_timestamp(%(start_s)s)
            and bucket >= rollup_closed(greatest(300, %(spread_s)s::integer))
            and bucket < to_timestamp(%(end_s)s)
        offset 0
    ) r
    where k.facility_id = %(facility_id)s
    group by 1, 2
)
select
    extract(epoch from bucket)::float8 as bucket_s,
    load_p10,
    load_p90,
    headroom_p10,
    headroom_p90
from facility_spread
where facility_id = %(facility_id)s
    and step_s = %(spread_s)s
    and bucket >= to_timestamp(%(start_s)s)
    and bucket < least(
        to_timestamp(%(end_s)s), rollup_closed(greatest(300, %(spread_s)s::integer))
    )
union all
select
    extract(epoch from step)::float8,
    percentile_cont(0.1) within group (order by load),
    percentile_cont(0.9) within group (order by load),
    percentile_cont(0.1) within group (order by headroom),
    percentile_cont(0.9) within group (order by headroom)
from rack_means
group by 1
order by 1;

-- name: queues
-- What waited in each queue of a facility, by step.
select
    source,
    queue,
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), time, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    avg(gpus_waiting)::float8 as gpus,
    avg(waiting)::float8 as waiting
from queue_samples
where facility_id = %(facility_id)s
    and time >= to_timestamp(%(start_s)s)
    and time < to_timestamp(%(end_s)s)
group by 1, 2, 3;

-- name: events
-- What happened in a facility, newest first.
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
where h.facility_id = %(facility_id)s
    and e.time >= to_timestamp(%(start_s)s)
    and e.time < to_timestamp(%(end_s)s)
order by e.time desc
limit 200;
