-- The Queues page.

-- name: past
-- What waited, ran, came and went in each queue, by step.
select
    facility_id,
    source,
    queue,
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), time, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    avg(gpus_waiting)::float8 as gpus,
    avg(waiting)::float8 as waiting,
    max(oldest_wait_seconds)::float8 as oldest,
    avg(arrivals_per_second)::float8 as arrivals,
    avg(completions_per_second)::float8 as completions
from queue_samples
where time >= to_timestamp(%(start_s)s)
    and time < to_timestamp(%(end_s)s)
    and (%(facility_id)s::int is null or facility_id = %(facility_id)s)
group by 1, 2, 3, 4;
