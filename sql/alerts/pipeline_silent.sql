-- No collector is at work: nothing is stored, and every view grows old.
--
-- title: pipelines silent
-- severity: critical
-- for: 20s
-- clear: 2m
-- evaluate: every 10s
-- wait: 0s
-- key: pipeline
-- group by: pipeline
-- summary: no collector stores anything: {reason}
-- action: Start a collector, or bring back what it waits for. Hosts and broker keep the data
--     meanwhile.
-- runbook: Read the collector's log; `fleetgauge status` says what it waits for. No host and no
--     facility is reported silent while this lasts.
--
-- A collector reports every second or so, also while it waits, and takes its row away when it is
-- stopped on purpose: none at all is as bad, wherever a host was heard in the last week. The end
-- takes 2 minutes, so that hosts have a chance to be heard again before anybody calls them silent.

with heard as (
    select max(s.received_at) as received_at
    from host_state s
    where s.received_at > %(now)s - interval '7 days'
),
watch as (
    select
        max(c.reported_at) as reported_at,
        count(*) > 0 as known,
        coalesce(bool_or(
            c.reported_at > %(now)s - interval '30 seconds'
            and c.waiting_for is null
        ), false) as alive,
        string_agg(distinct c.waiting_for, '; ')
            filter (where c.reported_at > %(now)s - interval '30 seconds') as waiting_for
    from collectors c
)
select
    'collector' as pipeline,
    'bad' as verdict,
    case
        when w.waiting_for is not null then w.waiting_for
        when w.known then 'the last report came '
            || floor(extract(epoch from %(now)s - w.reported_at)) || ' s ago'
        else 'none is running'
    end as reason
from watch w
cross join heard h
where not w.alive
    and (w.known or h.received_at is not null)
