-- The Alerts page: what the alerts program stores. Read only.

-- name: incidents
-- Incidents that were open in a span of time: open ones gravest first, then the resolved ones.
select
    incident_id,
    rule,
    facility_id,
    title,
    severity,
    state,
    summary,
    firing_count,
    alerts_count,
    muted_count,
    flapping,
    notices,
    extract(epoch from opened_at)::float8 as opened_s,
    extract(epoch from resolved_at)::float8 as resolved_s,
    extract(epoch from told_at)::float8 as told_s,
    extract(epoch from paged_at)::float8 as paged_s
from incidents
where state <> 'resolved'
    or (
        resolved_at >= to_timestamp(%(start_s)s)
        and opened_at < to_timestamp(%(end_s)s)
    )
order by
    (state = 'resolved'),
    array_position(array['critical', 'warning', 'info'], severity),
    opened_at desc
limit 200;

-- name: incident
-- One incident, by its own number or by that of one of its alerts.
select
    i.incident_id,
    i.rule,
    i.facility_id,
    i.title,
    i.severity,
    i.state,
    i.summary,
    i.firing_count,
    i.alerts_count,
    i.muted_count,
    i.flapping,
    i.notices,
    extract(epoch from i.opened_at)::float8 as opened_s,
    extract(epoch from i.resolved_at)::float8 as resolved_s,
    extract(epoch from i.told_at)::float8 as told_s,
    extract(epoch from i.paged_at)::float8 as paged_s,
    r.description,
    r.action,
    r.runbook
from incidents i
left join alert_rules r using (rule)
where i.incident_id = coalesce(
    %(incident_id)s::bigint,
    (select incident_id from alerts where alert_id = %(alert_id)s::bigint)
);

-- name: alerts
-- Open alerts, or those of one incident whatever their state: those that wake somebody first.
select
    a.alert_id,
    a.incident_id,
    a.rule,
    a.facility_id,
    a.severity,
    a.state,
    a.summary,
    a.action,
    a.flapping,
    a.inhibited_by,
    a.silenced_by,
    a.acknowledged_by,
    h.host,
    g.index,
    extract(epoch from a.started_at)::float8 as started_s,
    extract(epoch from a.resolved_at)::float8 as resolved_s
from alerts a
left join hosts h using (host_id)
left join accelerators g using (gpu_id)
where case
    when %(incident_id)s::bigint is null then a.state <> 'resolved'
    else a.incident_id = %(incident_id)s::bigint
end
order by
    (a.inhibited_by is not null or a.silenced_by is not null),
    array_position(array['firing', 'acknowledged', 'pending', 'resolved'], a.state),
    array_position(array['critical', 'warning', 'info'], a.severity),
    a.started_at desc
limit %(limit)s;

-- name: totals
-- All open alerts counted, since the list of them is cut.
select
    count(*)::int as open,
    (count(*) filter (where state = 'pending'))::int as pending,
    (count(*) filter (where inhibited_by is not null))::int as inhibited,
    (count(*) filter (where silenced_by is not null))::int as silenced
from alerts
where state <> 'resolved';

-- name: transitions
-- The life of the alerts of one incident, oldest first.
select
    t.alert_id,
    extract(epoch from t.time)::float8 as time_s,
    t.from_state,
    t.to_state,
    t.author,
    t.note
from alert_transitions t
join alerts a using (alert_id)
where a.incident_id = %(incident_id)s
order by t.time, t.transition_id
limit 2000;

-- name: evaluators
-- Each alerts program about itself.
select
    instance,
    active,
    extract(epoch from reported_at)::float8 as reported_s,
    extract(epoch from passed_at)::float8 as passed_s,
    pass_milliseconds::float8 as pass_milliseconds,
    outbox_waiting,
    extract(epoch from outbox_oldest)::float8 as outbox_oldest_s,
    extract(epoch from heartbeat_at)::float8 as heartbeat_s,
    unhealthy
from alert_evaluators
where reported_at > now() - interval '1 day'
order by instance;

-- name: rules
-- Every rule as loaded, those in trouble first.
select
    rule,
    title,
    severity,
    state,
    error,
    offenders,
    pass_milliseconds::float8 as pass_milliseconds,
    extract(epoch from evaluated_at)::float8 as evaluated_s
from alert_rules
order by (state = 'ok'), rule;

-- name: notices
-- What people were told or are to be told, of all or of one incident, newest first; each with its
-- last try.
select
    o.message_id,
    o.incident_id,
    o.receiver,
    o.state,
    o.attempts,
    o.error,
    o.escalated,
    extract(epoch from o.created_at)::float8 as created_s,
    extract(epoch from o.finished_at)::float8 as finished_s,
    i.title,
    i.severity,
    d.outcome,
    d.status,
    d.error as attempt_error,
    d.duration_milliseconds::float8 as duration_milliseconds
from outbox o
left join incidents i using (incident_id)
left join lateral (
    select
        t.outcome,
        t.status,
        t.error,
        t.duration_milliseconds
    from delivery_attempts t
    where t.message_id = o.message_id
    order by t.attempt_id desc
    limit 1
) d on true
where %(incident_id)s::bigint is null or o.incident_id = %(incident_id)s::bigint
order by (o.state = 'waiting') desc, o.message_id desc
limit 40;

-- name: silences
-- Silences that hold now or will.
select
    s.silence_id,
    s.rule,
    s.facility_id,
    h.host,
    g.index,
    s.author,
    s.comment,
    extract(epoch from s.starts_at)::float8 as starts_s,
    extract(epoch from s.ends_at)::float8 as ends_s
from silences s
left join hosts h using (host_id)
left join accelerators g using (gpu_id)
where s.ends_at > now()
order by s.ends_at
limit 50;

-- name: notes
-- What people said about an incident and to whom it was assigned, newest first.
select
    extract(epoch from time)::float8 as time_s,
    author,
    kind,
    text
from incident_notes
where incident_id = %(incident_id)s
order by note_id desc
limit 50;
