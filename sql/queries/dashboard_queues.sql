-- The Queues page.

-- name: past
-- What waited, ran, came and went in each queue, by step. Waits are the longest of a step.
select
    facility_id,
    source,
    queue,
    max(unit) as unit,
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), time, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    avg(gpus_waiting)::float8 as gpus,
    avg(gpu_seconds_waiting)::float8 / 3600 as hours,
    avg(waiting)::float8 as entries,
    max(oldest_wait_seconds)::float8 / 60 as oldest,
    max(wait_milliseconds)::float8 as wait,
    avg(arrivals_per_second)::float8 as arrivals,
    avg(completions_per_second)::float8 as completions
from queue_samples
where time >= to_timestamp(%(start_s)s)
    and time < to_timestamp(%(end_s)s)
    and (%(facility_id)s::integer is null or facility_id = %(facility_id)s::integer)
group by 1, 2, 3, 5;
