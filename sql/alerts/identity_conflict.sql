-- Two machines send under one name: a cloned image, or an agent that was started twice.
--
-- title: names used twice
-- severity: warning
-- for: 0s
-- clear: 300s
-- evaluate: every 10s
-- wait: 10s
-- key: host_id
-- group by: facility_id
-- summary: two agents send as {host}
-- action: Find both. Give the clone a name and a key of its own (`fleetgauge agent enroll`), or stop
--     the second agent.
-- runbook: Nothing is lost meanwhile: both are stored under their own boot epochs, and neither's
--     inventory removes the other's accelerators. The live views show the one that started last.
--
-- The collectors notice it by boot epochs of one host whose messages are made side by side.

select
    f.host_id,
    h.facility_id,
    h.host,
    f.first_at as since,
    'bad' as verdict
from identity_findings f
join hosts h on h.host_id = f.host_id
where f.reason = 'two_machines'
    and f.last_at > %(now)s - interval '2 minutes'
