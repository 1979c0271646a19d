-- The collectors are behind: what is shown is old, or its history is not there yet.
--
-- title: pipelines behind
-- severity: warning
-- for: 30s
-- clear: 60s
-- evaluate: every 10s
-- wait: 0s
-- key: pipeline
-- group by: pipeline
-- inhibited by: pipeline_silent
-- summary: the collectors are {behind} messages behind in {topic}
-- action: Look at the database's load and disk, then add a collector. After an outage, wait: live
--     messages are stored first, and those that were left behind beside them.
-- runbook: The Pipeline page shows lag by topic and the rate at which it shrinks.
--
-- A host sends about one message in 10 s, so 6 a host are a minute's worth; at least 100, so that
-- a handful of hosts does not alarm. It ends below a third of that.

with fleet as (
    select greatest(100, 6 * count(*)) as minute_messages
    from host_state s
    where s.received_at > %(now)s - interval '1 day'
),
behind as (
    select
        o.topic,
        sum(o.end_offset - o.next_offset + coalesce(left_behind.messages, 0)) as behind
    from stream_offsets o
    cross join lateral (
        select sum(upper(span) - lower(span)) as messages
        from unnest(o.backlog) as span
    ) as left_behind
    where o.retired_at is null
    group by o.topic
)
select
    b.topic as pipeline,
    b.topic,
    b.behind,
    case when b.behind >= f.minute_messages then 'bad' else 'hold' end as verdict
from behind b
cross join fleet f
where b.behind >= f.minute_messages / 3
