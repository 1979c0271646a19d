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
-- A collector reports every second or so, also while it waits. The end takes 2 minutes, so that
-- hosts have a chance to be heard again before anybody calls them silent.

select
    'collector' as pipeline,
    'bad' as verdict,
    case
        when max(c.reported_at) < %(now)s - interval '30 seconds'
            then 'the last report came ' ||
                floor(extract(epoch from %(now)s - max(c.reported_at))) || ' s ago'
        else coalesce(
            string_agg(distinct c.waiting_for, '; ')
                filter (where c.reported_at > %(now)s - interval '30 seconds'),
            'unknown'
        )
    end as reason
from collectors c
having count(*) > 0
    and not bool_or(
        c.reported_at > %(now)s - interval '30 seconds'
        and c.waiting_for is null
    )
