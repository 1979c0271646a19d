-- What a person asks and says at the command line.

-- name: list_open
-- What is wrong now, gravest first.
select
    i.incident_id,
    i.severity,
    i.state,
    i.rule,
    i.summary,
    i.firing_count,
    i.muted_count,
    i.flapping,
    i.opened_at
from incidents i
where i.state <> 'resolved'
order by i.severity, i.opened_at;

-- name: acknowledge
-- Say that somebody looks after all alerts of an incident that fire now.
with mine as (
    update alerts
    set
        state = 'acknowledged',
        acknowledged_by = %(author)s,
        acknowledged_at = %(now)s
    where incident_id = %(incident_id)s and state = 'firing'
    returning alert_id
)
insert into alert_transitions (alert_id, time, from_state, to_state, author, note)
select mine.alert_id, %(now)s, 'firing', 'acknowledged', %(author)s, %(comment)s
from mine;

-- name: silence
-- Be quiet about what matches, until then. No row comes back where a name is not known.
insert into silences (rule, facility_id, host_id, author, comment, created_at, starts_at, ends_at)
select
    %(rule)s::text,
    (select f.facility_id from facilities f where f.facility = %(facility)s limit 1),
    (
        select h.host_id
        from hosts h
        join facilities f on f.facility_id = h.facility_id
        where h.host = %(host)s
            and (%(facility)s::text is null or f.facility = %(facility)s)
        limit 1
    ),
    %(author)s,
    %(comment)s,
    %(now)s,
    %(now)s,
    %(now)s + %(hours)s * interval '1 hour'
where (
        %(facility)s::text is null
        or exists (select from facilities f where f.facility = %(facility)s)
    )
    and (%(host)s::text is null or exists (select from hosts h where h.host = %(host)s))
returning silence_id, ends_at;
