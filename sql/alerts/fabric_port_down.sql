-- A port of an InfiniBand or RoCE adapter went down: jobs over several hosts hang or crawl.
--
-- title: fabric ports down
-- severity: warning
-- for: 30s
-- clear: 60s
-- evaluate: on data
-- wait: 10s
-- key: host_id
-- group by: facility_id
-- inhibited by: host_silent, facility_silent, pipeline_silent
-- summary: {place}: fabric port {ports} is down{rest}
-- action: Drain the host. Look whether the other end of the cable is down too, then reseat it or
--     replace the transceiver.
-- runbook: Many hosts at once point at a switch or a subnet manager, not at cables. NCCL jobs that
--     began before may hang until their own time-out; look for them under Queues.
--
-- An agent tells of each change of a port, with its name; the newest of a port's counts. A port that
-- has been down for a week is how the host is wired. It is critical where all ports that were ever
-- told of in that week are down, since nothing is left to speak with.

with told as (
    select distinct on (e.host_id, port)
        e.host_id,
        coalesce(e.detail ->> 'port', '?') as port,
        e.kind,
        e.time
    from events e
    where e.kind in ('port_down', 'port_up')
        and e.time > %(now)s - interval '7 days'
    order by e.host_id, port, e.time desc, e.seq desc, e.position desc
)
select
    t.host_id,
    h.facility_id,
    'bad' as verdict,
    min(t.time) filter (where t.kind = 'port_down') as since,
    case
        when count(*) > 1 and bool_and(t.kind = 'port_down') then 'critical'
        else 'warning'
    end as severity,
    count(*) filter (where t.kind = 'port_down') as down,
    string_agg(t.port, ', ' order by t.port) filter (where t.kind = 'port_down') as ports,
    case
        when count(*) > 1 and bool_and(t.kind = 'port_down') then ': none that changed is up'
        else ''
    end as rest
from told t
join hosts h on h.host_id = t.host_id
group by t.host_id, h.facility_id
having bool_or(t.kind = 'port_down')
