-- A host that was live sends nothing any more, while the collectors are at work.
--
-- title: hosts silent
-- severity: critical
-- for: 0s
-- clear: 30s
-- evaluate: every 10s
-- wait: 15s
-- key: host_id
-- group by: facility_id
-- inhibited by: facility_silent, pipeline_silent, pipeline_lag
-- summary: {place} has been silent for {silence}{stopped}
-- action: Try to reach the host. If it is up, look at its agent; if not, power-cycle it through the
--     provider.
-- runbook: The dashboard shows what its accelerators said last; nothing it says of them is current.
--     Several silent hosts in one rack point at its switch or its power.
--
-- Silent is 90 s or 30 sample intervals without a message, whichever is longer: nine of the
-- messages that leave every 10 s. What counts is when something came, not the time it carries, so
-- late data of a host that drains its spool is a sign of life. A replayed history was never live:
-- its data was older than 10 minutes on arrival. Nothing is silent before a collector that is not
-- itself waiting has been up for 90 s.

with watch as (
    select exists (
        select from collectors c
        where c.reported_at > %(now)s - interval '30 seconds'
            and c.started_at < %(now)s - interval '90 seconds'
            and c.waiting_for is null
    ) as alive
),
quiet as (
    select
        s.host_id,
        h.facility_id,
        s.boot_epoch,
        s.received_at,
        %(now)s - s.received_at as age
    from host_state s
    join hosts h on h.host_id = s.host_id
    left join agent_state a on a.host_id = s.host_id
    where s.received_at < %(now)s - greatest(
            interval '90 seconds',
            least(coalesce(a.sample_interval_ms, 0), 60000) * 30 * interval '1 millisecond'
        )
        and s.received_at - s.time < interval '10 minutes'
)
select
    q.host_id,
    q.facility_id,
    case when watch.alive then 'bad' else 'hold' end as verdict,
    q.received_at as since,
    case when stop.time is not null then 'warning' else 'critical' end as severity,
    case
        when q.age < interval '2 hours' then floor(extract(epoch from q.age) / 60) || ' minutes'
        else floor(extract(epoch from q.age) / 3600) || ' hours'
    end as silence,
    case when stop.time is not null then '; its agent was stopped on purpose' else '' end as stopped
from quiet q
cross join watch
left join lateral (
    select e.time
    from events e
    where e.host_id = q.host_id
        and e.boot_epoch = q.boot_epoch
        and e.kind = 'agent_stop'
    order by e.time desc
    limit 1
) stop on true
