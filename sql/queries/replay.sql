-- What a replay left in the database: read by `fleetgauge replay --check`.

-- name: samples_tally
-- Counts and sums of one facility's samples in a range of time, both ends included. Summed by
-- accelerator first: joined row by row, a planner without statistics reads the samples once for
-- each accelerator.
with summed as materialized (
    select
        gpu_id,
        count(utilization_gpu_percent) as utilizations,
        sum(utilization_gpu_percent) as utilization,
        count(memory_used_mebibytes) as memories,
        sum(memory_used_mebibytes) as memory
    from samples
    where time >= %(first)s
        and time <= %(last)s
    group by gpu_id
)
select
    coalesce(sum(s.utilizations), 0)::bigint,
    coalesce(sum(s.utilization), 0)::double precision,
    coalesce(sum(s.memories), 0)::bigint,
    coalesce(sum(s.memory), 0)::double precision
from summed s
join accelerators a on a.gpu_id = s.gpu_id
join hosts h on h.host_id = a.host_id
join facilities f on f.facility_id = h.facility_id
where f.tenant = %(tenant)s
    and f.facility = %(facility)s;

-- name: queues_tally
-- Counts and sums of one facility's queue snapshots in a range of time, both ends included.
select
    count(q.waiting),
    coalesce(sum(q.waiting), 0),
    count(q.running),
    coalesce(sum(q.running), 0),
    count(q.gpus_waiting),
    coalesce(sum(q.gpus_waiting), 0),
    count(q.gpus_running),
    coalesce(sum(q.gpus_running), 0),
    count(q.gpu_seconds_waiting),
    coalesce(sum(q.gpu_seconds_waiting), 0),
    count(q.oldest_wait_seconds),
    coalesce(sum(q.oldest_wait_seconds), 0),
    count(q.wait_milliseconds),
    coalesce(sum(q.wait_milliseconds), 0),
    count(q.arrivals_per_second),
    coalesce(sum(q.arrivals_per_second), 0)
from queue_samples q
where q.facility_id = (
        select facility_id
        from facilities
        where tenant = %(tenant)s
            and facility = %(facility)s
    )
    and q.source = %(source)s
    and q.time >= %(first)s
    and q.time <= %(last)s;

-- name: accelerators_tally
-- How many accelerators of one facility are there.
select count(*)
from accelerators a
join hosts h on h.host_id = a.host_id
join facilities f on f.facility_id = h.facility_id
where f.tenant = %(tenant)s
    and f.facility = %(facility)s
    and a.present;
