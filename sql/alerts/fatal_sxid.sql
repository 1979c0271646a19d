-- An NVSwitch reported an SXid that its driver calls fatal: the host's NVLink fabric is not whole.
--
-- title: hosts with a fatal SXid
-- severity: critical
-- for: 0s
-- clear: 60s
-- evaluate: on data
-- wait: 1s
-- key: host_id
-- group by: facility_id
-- inhibited by: facility_silent
-- summary: {place}: SXid {codes} on NVSwitch {switches}{where}
-- action: Drain the host. Reset all of its GPUs and switches together, or reboot it; one that comes
--     again is a case for the provider, with the switch and the link.
-- runbook: A fatal SXid ends the jobs that use the switch, also on GPUs that report nothing. Read
--     the Xids of the host's GPUs at the same time (74 names the link), then Fabric Manager's log.
--
-- The driver's own word decides, which its line in the kernel log carries: SXid numbers mean other
-- things on other switches (NVIDIA Fabric Manager User Guide, "NVSwitch SXid errors"). Nobody tells
-- of a cure, so it is bad for an hour after the last one.

select
    e.host_id,
    h.facility_id,
    'bad' as verdict,
    min(e.time) as since,
    count(*) as times,
    string_agg(distinct coalesce(e.code::text, '?'), ', ') as codes,
    coalesce(string_agg(distinct e.detail ->> 'switch', ', '), '?') as switches,
    coalesce(', link ' || string_agg(distinct e.detail ->> 'link', ', '), '') as where
from events e
join hosts h on h.host_id = e.host_id
where e.kind = 'sxid'
    and e.detail ->> 'severity' = 'fatal'
    and e.time > %(now)s - interval '1 hour'
group by e.host_id, h.facility_id
