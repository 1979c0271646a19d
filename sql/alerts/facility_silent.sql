-- Nearly every host of a facility fell silent: the link or the pipeline, not the hosts.
--
-- title: facilities silent
-- severity: critical
-- for: 10s
-- clear: 60s
-- evaluate: every 10s
-- wait: 0s
-- key: facility_id
-- group by: facility_id
-- inhibited by: pipeline_silent, pipeline_lag
-- summary: {facility} is silent: {silent} of {hosts} hosts send nothing
-- action: Check the link to the facility and its broker first, then its power. The hosts are
--     probably well, and their agents keep what they cannot send.
-- runbook: Ask the facility whether it has power. Then look at the broker from inside and from
--     outside. What the hosts spooled arrives by itself once the way is open.
--
-- 45 s without a message, before a single host would count as silent at 90 s, so this alert comes
-- first and speaks for all of them. From 90 % silent it is bad; it ends when fewer than 10 % are.
-- Two hosts make a facility: one that is silent alone is told by host_silent.

with watch as (
    select exists (
        select from collectors c
        where c.reported_at > %(now)s - interval '30 seconds'
            and c.started_at < %(now)s - interval '90 seconds'
            and c.waiting_for is null
    ) as alive
),
live as (
    select
        h.facility_id,
        s.received_at,
        s.received_at < %(now)s - greatest(
            interval '45 seconds',
            least(coalesce(a.sample_interval_ms, 0), 60000) * 15 * interval '1 millisecond'
        ) as silent
    from host_state s
    join hosts h on h.host_id = s.host_id
    left join agent_state a on a.host_id = s.host_id
    where s.received_at > %(now)s - interval '7 days'
        and s.received_at - s.time < interval '10 minutes'
),
facility as (
    select
        l.facility_id,
        count(*) as hosts,
        count(*) filter (where l.silent) as silent,
        max(l.received_at) as newest
    from live l
    group by l.facility_id
)
select
    f.facility_id,
    case
        when watch.alive and f.silent >= 0.9 * f.hosts then 'bad'
        else 'hold'
    end as verdict,
    f.newest as since,
    f.hosts,
    f.silent
from facility f
cross join watch
where f.silent >= 0.1 * f.hosts
    and f.silent > 0
    and f.hosts >= 2
