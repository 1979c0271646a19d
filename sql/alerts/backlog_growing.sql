-- A queue grows faster than it is served.
--
-- title: queues growing
-- severity: warning
-- for: 5m
-- clear: 10m
-- evaluate: every 30s
-- wait: 10s
-- key: facility_id, source, queue
-- group by: facility_id
-- inhibited by: facility_silent, pipeline_silent
-- summary: {queue} ({source}) at {facility} grew from {earlier} to {recent} {unit} waiting in half
--     an hour
-- action: Compare with healthy and busy accelerators of the facility. Idle ones: look at the
--     scheduler or the server. None idle: more work came than fits, so shed or move it.
-- runbook: The Queues page shows arrivals beside completions, and the oldest wait.
--
-- The mean of the last 5 minutes against the mean of the 5 minutes half an hour ago: bad from one
-- and a half times as much and at least 10 more, over below 1.1 times. Counted in GPUs where the
-- source knows them, else in its own entries. A queue that nobody reports on is not known to have
-- shrunk: its alert is held, for a day.

with half_hour as (
    select
        q.facility_id,
        q.source,
        q.queue,
        avg(coalesce(q.gpus_waiting, q.waiting))
            filter (where q.time > %(now)s - interval '5 minutes') as recent,
        avg(coalesce(q.gpus_waiting, q.waiting))
            filter (where q.time <= %(now)s - interval '25 minutes') as earlier
    from queue_samples q
    where q.time > %(now)s - interval '30 minutes'
        and q.time <= %(now)s
    group by q.facility_id, q.source, q.queue
),
judged as (
    select
        s.facility_id,
        s.source,
        s.queue,
        case when s.gpus_waiting is null then s.unit else 'GPUs' end as unit,
        w.recent,
        w.earlier,
        case
            when w.recent is null or w.earlier is null then 'hold'
            when w.recent >= 1.5 * w.earlier and w.recent - w.earlier >= 10 then 'bad'
            when w.recent >= 1.1 * w.earlier and w.recent - w.earlier >= 3 then 'hold'
            else 'good'
        end as verdict
    from queue_state s
    left join half_hour w
        on w.facility_id = s.facility_id
        and w.source = s.source
        and w.queue = s.queue
    where s.time > %(now)s - interval '1 day'
)
select
    j.facility_id,
    j.source,
    j.queue,
    j.unit,
    round(j.recent::numeric) as recent,
    round(j.earlier::numeric) as earlier,
    j.verdict
from judged j
where j.verdict <> 'good'
