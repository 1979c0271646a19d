-- The Map page: the fleet at a time past.

-- name: racks_at
-- What each rack came to in a minute, or in the newest of the three before it that is there.
select distinct on (rack_id)
    rack_id,
    (utilization_gpu_percent_sum
        / nullif(utilization_gpu_percent_count, 0)::float8) as load,
    (sm_active_permille_sum / nullif(sm_active_permille_count, 0)::float8 / 10) as sm,
    temperature_margin_celsius_min::float8 as headroom_least,
    temperature_gpu_celsius_max::float8 as heat_most,
    temperature_memory_celsius_max::float8 as hbm_most,
    (power_milliwatts_sum / nullif(power_milliwatts_count, 0)::float8 / 1000) as power,
    (memory_used_mebibytes_sum
        / nullif(memory_used_mebibytes_count, 0)::float8 / 1024) as memory
from rack_rollup_1m
where bucket > to_timestamp(%(at_s)s) - interval '4 minutes'
    and bucket <= to_timestamp(%(at_s)s)
order by rack_id, bucket desc;

-- name: course
-- The fleet's mean load in each step of a span, of all facilities or of one: what the scrubber is
-- drawn over.
select
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), bucket, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    (sum(utilization_gpu_percent_sum)
        / nullif(sum(utilization_gpu_percent_count), 0))::float8 as load_percent,
    (sum(sm_active_permille_sum)
        / nullif(sum(sm_active_permille_count), 0) / 10)::float8 as sm_percent
from facility_rollup
where step_s = %(rollup_s)s
    and bucket >= to_timestamp(%(start_s)s)
    and bucket < to_timestamp(%(end_s)s)
    and (%(facility_id)s::integer is null or facility_id = %(facility_id)s::integer)
group by 1;
