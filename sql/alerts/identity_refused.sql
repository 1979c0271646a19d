-- Messages came in a host's name that no approved key of that host stands for.
--
-- title: identities doubted
-- severity: critical
-- for: 0s
-- clear: 300s
-- evaluate: every 10s
-- wait: 10s
-- key: claim, reason
-- group by: reason
-- summary: {messages} messages in the name of {claim} are {treated}: {reason}
-- action: If the host is new or has a new key, have `fleetgauge keys list` show it and approve it.
--     If not, somebody else speaks for it. Find out who wrote to the topic, and take away its
--     access there.
-- runbook: wrong_host, bad_signature and revoked_key mean that a key is in the wrong hands or that
--     somebody forges; the others are mostly hosts that were not enrolled yet. The quarantine keeps
--     the messages with their offsets, and the Kafka broker's log knows which client wrote them.
--
-- identity_findings has one row a claimed host and reason. Names that no inventory and no request
-- has ever mentioned are counted together, so that a flood of inventions is one alert.

select
    case
        when f.host = '' then 'hosts that nobody knows'
        else f.tenant || '/' || f.facility || '/' || f.host
    end as claim,
    f.reason,
    f.messages,
    case when f.refused then 'refused' else 'stored all the same' end as treated,
    f.host_id,
    h.facility_id,
    f.first_at as since,
    case
        when f.reason in ('wrong_host', 'bad_signature', 'revoked_key') then 'critical'
        else 'warning'
    end as severity,
    'bad' as verdict
from identity_findings f
left join hosts h on h.host_id = f.host_id
where f.last_at > %(now)s - interval '1 minute'
    and f.reason <> 'two_machines'
