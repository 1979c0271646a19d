-- The Alerts page: what the alerts program stores.

-- name: incidents
-- Open incidents, gravest first, then those of the last day.
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
    extract(epoch from opened_at)::float8 as opened_s,
    extract(epoch from resolved_at)::float8 as resolved_s
from incidents
where state <> 'resolved'
    or resolved_at > now() - interval '1 day'
order by
    (state = 'resolved'),
    array_position(array['critical', 'warning', 'info'], severity),
    opened_at desc
limit 100;

-- name: alerts
-- Open alerts, those that wake somebody first.
select
    a.alert_id,
    a.rule,
    a.facility_id,
    a.labels,
    a.severity,
    a.state,
    a.summary,
    a.action,
    a.flapping,
    a.inhibited_by is not null as inhibited,
    a.silenced_by is not null as silenced,
    a.acknowledged_by,
    h.host,
    g.index,
    extract(epoch from a.started_at)::float8 as started_s
from alerts a
left join hosts h using (host_id)
left join accelerators g using (gpu_id)
where a.state <> 'resolved'
order by
    (a.inhibited_by is not null or a.silenced_by is not null),
    array_position(array['firing', 'acknowledged', 'pending'], a.state),
    array_position(array['critical', 'warning', 'info'], a.severity),
    a.started_at desc
limit 60;

-- name: evaluators
-- Each alerts program about itself.
select
    instance,
    extract(epoch from reported_at)::float8 as reported_s,
    extract(epoch from passed_at)::float8 as passed_s,
    pass_milliseconds::float8 as pass_milliseconds,
    outbox_waiting,
    unhealthy
from alert_evaluators
where reported_at > now() - interval '1 day'
order by instance;

-- name: rules
-- Every rule as loaded.
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

-- name: deliveries
-- The notification log, newest first.
select
    d.receiver,
    d.outcome,
    d.status,
    d.error,
    d.duration_milliseconds::float8 as duration_milliseconds,
    extract(epoch from d.time)::float8 as time_s,
    i.title
from delivery_attempts d
join outbox o using (message_id)
left join incidents i using (incident_id)
order by d.time desc
limit 20;

-- name: silences
-- Silences that hold now or will.
select
    rule,
    facility_id,
    author,
    comment,
    extract(epoch from starts_at)::float8 as starts_s,
    extract(epoch from ends_at)::float8 as ends_s
from silences
where ends_at > now()
order by ends_at
limit 50;
