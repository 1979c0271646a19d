-- The Fleet page.

-- name: load
-- Mean utilisation and SM activity of each facility, by step.
select
    facility_id,
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
group by 1, 2;

-- name: backlog
-- What waited in each queue, by step: in GPUs where the source tells, and in entries.
select
    facility_id,
    source,
    queue,
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), time, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    avg(gpus_waiting)::float8 as gpus,
    avg(waiting)::float8 as waiting
from queue_samples
where time >= to_timestamp(%(start_s)s)
    and time < to_timestamp(%(end_s)s)
group by 1, 2, 3, 4;
