-- The certificate with which a host's agent speaks to the Kafka broker ends within two weeks.
--
-- title: certificates ending
-- severity: warning
-- for: 0s
-- clear: 60s
-- evaluate: every 60s
-- wait: 60s
-- key: host_id
-- group by: facility_id
-- summary: the certificate of {host} for the Kafka broker ends in {days} days
-- action: Put a new certificate and key in the place of the old ones. The agent takes them up within
--     half a minute; no restart is needed.
-- runbook: From its end on nothing of the host arrives any more; its agent keeps what it reads until
--     its spool is full. `fleetgauge doctor` on the host shows the file and its end.
--
-- An agent says so once a day while it lasts, so a day and an hour without it means it is over.

select distinct on (e.host_id)
    e.host_id,
    h.facility_id,
    h.host,
    e.code as days,
    'bad' as verdict
from events e
join hosts h on h.host_id = e.host_id
where e.kind = 'certificate_expiring'
    and e.time > %(now)s - interval '25 hours'
order by e.host_id, e.time desc
