-- What the alerts program asks and writes, apart from its rules. Rows go in and come out as JSON
-- where there may be thousands of them: one statement, one round trip.

-- name: acquire_lease
-- Take the lease when it is free, expired or already ours; a new holder gets a higher token.
insert into alert_lease as l (name, holder, token, renewed_at, expires_at)
values (
    %(name)s,
    %(holder)s,
    1,
    clock_timestamp(),
    clock_timestamp() + %(lease_s)s * interval '1 second'
)
on conflict (name) do update set
    holder = excluded.holder,
    token = case when l.holder = excluded.holder then l.token else l.token + 1 end,
    renewed_at = excluded.renewed_at,
    expires_at = excluded.expires_at
where l.holder = excluded.holder or l.expires_at < clock_timestamp()
returning token;

-- name: renew_lease
-- Lengthen the lease if it is still ours; in a writing transaction this is also the fence.
update alert_lease
set
    renewed_at = clock_timestamp(),
    expires_at = clock_timestamp() + %(lease_s)s * interval '1 second'
where name = %(name)s and holder = %(holder)s and token = %(token)s;

-- name: release_lease
-- Let a standby take over at once.
update alert_lease
set expires_at = clock_timestamp()
where name = %(name)s and holder = %(holder)s and token = %(token)s;

-- name: limit_statement
-- Bound a rule: it may read for so long, and write nothing.
select
    set_config('statement_timeout', %(timeout_ms)s, true),
    set_config('transaction_read_only', 'on', true);

-- name: read_alerts
-- Everything open, and what ended so recently that it may go on.
select
    a.alert_id,
    a.rule,
    a.key,
    a.incident_id,
    a.facility_id,
    a.host_id,
    a.gpu_id,
    a.labels,
    a.severity,
    a.state,
    a.summary,
    a.action,
    a.measured,
    a.started_at,
    a.pending_since,
    a.fired_at,
    a.calm_since,
    a.resolved_at,
    a.updated_at,
    a.firings,
    a.flapping,
    a.inhibited_by,
    a.silenced_by,
    a.acknowledged_by,
    a.acknowledged_at
from alerts a
where a.state <> 'resolved'
    or (a.state = 'resolved' and a.resolved_at >= %(ended_after)s)
order by a.alert_id;

-- name: read_incidents
-- Every open conversation, and those that ended recently.
select
    i.incident_id,
    i.rule,
    i.group_key,
    i.facility_id,
    i.title,
    i.severity,
    i.state,
    i.summary,
    i.firing_count,
    i.alerts_count,
    i.muted_count,
    i.flapping,
    i.opened_at,
    i.resolved_at,
    i.updated_at,
    i.told_at,
    i.told_count,
    i.told_peak,
    i.told_severity,
    i.told_fired_at,
    i.told_resolved,
    i.paged_at,
    i.notices
from incidents i
where i.state <> 'resolved'
    or (i.state = 'resolved' and i.resolved_at >= %(ended_after)s)
order by i.incident_id;

-- name: read_silences
-- Silences in force.
select
    s.silence_id,
    s.rule,
    s.facility_id,
    s.host_id,
    s.gpu_id
from silences s
where s.starts_at <= %(now)s and s.ends_at > %(now)s
order by s.silence_id;

-- name: new_alert_ids
select nextval(pg_get_serial_sequence('alerts', 'alert_id')) as id
from generate_series(1, %(count)s);

-- name: new_incident_ids
select nextval(pg_get_serial_sequence('incidents', 'incident_id')) as id
from generate_series(1, %(count)s);

-- name: read_labels
-- Names of places, in the order asked; what is unknown is left out.
select
    jsonb_strip_nulls(jsonb_build_object(
        'tenant', f.tenant,
        'facility', f.facility,
        'hall', nullif(r.hall, ''),
        'row', nullif(r.row, ''),
        'rack', nullif(r.rack, ''),
        'tray', nullif(h.tray, ''),
        'host', h.host,
        'gpu_index', c.index,
        'uuid', c.uuid,
        'serial', c.serial,
        'model', c.model
    )) as labels
from unnest(
    %(facility_ids)s::integer[], %(host_ids)s::integer[], %(gpu_ids)s::integer[]
) with ordinality as asked (facility_id, host_id, gpu_id, position)
left join accelerators c on c.gpu_id = asked.gpu_id
left join hosts h on h.host_id = coalesce(asked.host_id, c.host_id)
left join racks r on r.rack_id = h.rack_id
left join facilities f on f.facility_id = coalesce(asked.facility_id, h.facility_id)
order by asked.position;

-- name: write_alerts
-- Insert or update alerts. An acknowledgement that somebody made meanwhile is kept.
insert into alerts as a (
    alert_id, rule, key, incident_id, facility_id, host_id, gpu_id, labels, severity, state,
    summary, action, measured, started_at, pending_since, fired_at, calm_since, resolved_at,
    updated_at, firings, flapping, inhibited_by, silenced_by, acknowledged_by, acknowledged_at
)
select
    r.alert_id, r.rule, r.key, r.incident_id, r.facility_id, r.host_id, r.gpu_id, r.labels,
    r.severity, r.state, r.summary, r.action, r.measured, r.started_at, r.pending_since,
    r.fired_at, r.calm_since, r.resolved_at, r.updated_at, r.firings, r.flapping, r.inhibited_by,
    r.silenced_by, r.acknowledged_by, r.acknowledged_at
from jsonb_to_recordset(%(rows)s::jsonb) as r (
    alert_id bigint, rule text, key text, incident_id bigint, facility_id integer, host_id integer,
    gpu_id integer, labels jsonb, severity text, state text, summary text, action text,
    measured jsonb, started_at timestamptz, pending_since timestamptz, fired_at timestamptz,
    calm_since timestamptz, resolved_at timestamptz, updated_at timestamptz,
    firings timestamptz[], flapping boolean, inhibited_by bigint, silenced_by bigint,
    acknowledged_by text, acknowledged_at timestamptz
)
on conflict (alert_id) do update set
    incident_id = excluded.incident_id,
    severity = excluded.severity,
    state = case
        when a.state = 'acknowledged' and excluded.state = 'firing' then a.state
        else excluded.state
    end,
    summary = excluded.summary,
    action = excluded.action,
    measured = excluded.measured,
    started_at = excluded.started_at,
    pending_since = excluded.pending_since,
    fired_at = excluded.fired_at,
    calm_since = excluded.calm_since,
    resolved_at = excluded.resolved_at,
    updated_at = excluded.updated_at,
    firings = excluded.firings,
    flapping = excluded.flapping,
    inhibited_by = excluded.inhibited_by,
    silenced_by = excluded.silenced_by,
    acknowledged_by = case
        when a.state = 'acknowledged' then a.acknowledged_by
        else excluded.acknowledged_by
    end,
    acknowledged_at = case
        when a.state = 'acknowledged' then a.acknowledged_at
        else excluded.acknowledged_at
    end;

-- name: delete_alerts
-- Forget what was pending and came to nothing.
delete from alerts where alert_id = any (%(alert_ids)s) and state = 'pending';

-- name: write_transitions
insert into alert_transitions (alert_id, time, from_state, to_state, author, note)
select r.alert_id, r.time, r.from_state, r.to_state, r.author, r.note
from jsonb_to_recordset(%(rows)s::jsonb) as r (
    alert_id bigint, time timestamptz, from_state text, to_state text, author text, note text
);

-- name: write_incidents
insert into incidents (
    incident_id, rule, group_key, facility_id, title, severity, state, summary, firing_count,
    alerts_count, muted_count, flapping, opened_at, resolved_at, updated_at, told_at, told_count,
    told_peak, told_severity, told_fired_at, told_resolved, paged_at, notices
)
select
    r.incident_id, r.rule, r.group_key, r.facility_id, r.title, r.severity, r.state, r.summary,
    r.firing_count, r.alerts_count, r.muted_count, r.flapping, r.opened_at, r.resolved_at,
    r.updated_at, r.told_at, r.told_count, r.told_peak, r.told_severity, r.told_fired_at,
    r.told_resolved, r.paged_at, r.notices
from jsonb_to_recordset(%(rows)s::jsonb) as r (
    incident_id bigint, rule text, group_key text, facility_id integer, title text, severity text,
    state text, summary text, firing_count integer, alerts_count integer, muted_count integer,
    flapping boolean, opened_at timestamptz, resolved_at timestamptz, updated_at timestamptz,
    told_at timestamptz, told_count integer, told_peak integer, told_severity text,
    told_fired_at timestamptz, told_resolved boolean, paged_at timestamptz, notices integer
)
on conflict (incident_id) do update set
    severity = excluded.severity,
    state = excluded.state,
    summary = excluded.summary,
    firing_count = excluded.firing_count,
    alerts_count = excluded.alerts_count,
    muted_count = excluded.muted_count,
    flapping = excluded.flapping,
    resolved_at = excluded.resolved_at,
    updated_at = excluded.updated_at,
    told_at = excluded.told_at,
    told_count = excluded.told_count,
    told_peak = excluded.told_peak,
    told_severity = excluded.told_severity,
    told_fired_at = excluded.told_fired_at,
    told_resolved = excluded.told_resolved,
    paged_at = excluded.paged_at,
    notices = excluded.notices;

-- name: write_rules
-- What became of each rule.
insert into alert_rules (
    rule, title, severity, description, action, runbook, digest, state, error, evaluated_at,
    pass_milliseconds, offenders, updated_at
)
select
    r.rule, r.title, r.severity, r.description, r.action, r.runbook, r.digest, r.state, r.error,
    r.evaluated_at, r.pass_milliseconds, r.offenders, r.updated_at
from jsonb_to_recordset(%(rows)s::jsonb) as r (
    rule text, title text, severity text, description text, action text, runbook text, digest text,
    state text, error text, evaluated_at timestamptz, pass_milliseconds real, offenders integer,
    updated_at timestamptz
)
on conflict (rule) do update set
    title = excluded.title,
    severity = excluded.severity,
    description = excluded.description,
    action = excluded.action,
    runbook = excluded.runbook,
    digest = excluded.digest,
    state = excluded.state,
    error = excluded.error,
    evaluated_at = excluded.evaluated_at,
    pass_milliseconds = excluded.pass_milliseconds,
    offenders = excluded.offenders,
    updated_at = excluded.updated_at;

-- name: forget_rules
delete from alert_rules where not (rule = any (%(rules)s));

-- name: write_xid_policy
with row as (
    select *
    from jsonb_to_recordset(%(rows)s::jsonb) as r (
        code bigint, meaning text, vendor_action text, class text, severity text, action text,
        source text, note text
    )
),
gone as (
    delete from xid_policy where code not in (select row.code from row)
)
insert into xid_policy (code, meaning, vendor_action, class, severity, action, source, note)
select
    row.code,
    row.meaning,
    row.vendor_action,
    row.class,
    row.severity,
    row.action,
    row.source,
    row.note
from row
on conflict (code) do update set
    meaning = excluded.meaning,
    vendor_action = excluded.vendor_action,
    class = excluded.class,
    severity = excluded.severity,
    action = excluded.action,
    source = excluded.source,
    note = excluded.note;

-- name: report_evaluator
insert into alert_evaluators (
    instance, version, started_at, reported_at, active, passed_at, pass_milliseconds,
    alerts_firing, outbox_waiting, outbox_oldest, heartbeat_at, unhealthy
)
select
    %(instance)s,
    %(version)s,
    %(started_at)s,
    %(now)s,
    %(active)s,
    %(passed_at)s,
    %(pass_milliseconds)s,
    (select count(*) from alerts where state in ('firing', 'acknowledged')),
    (select count(*) from outbox where state = 'waiting'),
    (select min(created_at) from outbox where state = 'waiting'),
    %(heartbeat_at)s,
    %(unhealthy)s
on conflict (instance) do update set
    version = excluded.version,
    started_at = excluded.started_at,
    reported_at = excluded.reported_at,
    active = excluded.active,
    passed_at = excluded.passed_at,
    pass_milliseconds = excluded.pass_milliseconds,
    alerts_firing = excluded.alerts_firing,
    outbox_waiting = excluded.outbox_waiting,
    outbox_oldest = excluded.outbox_oldest,
    heartbeat_at = excluded.heartbeat_at,
    unhealthy = excluded.unhealthy;

-- name: announce
-- Tell whoever listens (the dashboard) that alerts changed.
select pg_notify('fleetgauge_alerts', %(payload)s);

-- name: read_health
-- What the dead-man switch depends on, apart from the evaluator itself.
select
    (select max(c.reported_at) from collectors c where c.waiting_for is null) as ingest_at,
    exists (select from collectors) or exists (select from host_state) as ingest_expected,
    (
        select coalesce(sum(o.end_offset - o.next_offset), 0)::bigint
        from stream_offsets o
        where o.retired_at is null
    ) as messages_behind,
    (select count(*) from host_state s where s.received_at > %(now)s - interval '1 day') as hosts,
    (select min(m.created_at) from outbox m where m.state = 'waiting') as outbox_oldest;

-- name: purge
-- Forget what is older than the deployment keeps.
with old_messages as (
    delete from outbox where state <> 'waiting' and finished_at < %(before)s
),
old_evaluators as (
    delete from alert_evaluators where reported_at < %(now)s - interval '7 days'
),
old_incidents as (
    -- Only those that nothing points at any more: their alerts went an hour ago.
    delete from incidents i
    where i.state = 'resolved'
        and i.resolved_at < %(before)s
        and not exists (select from alerts a where a.incident_id = i.incident_id)
        and not exists (select from outbox o where o.incident_id = i.incident_id)
)
delete from alerts where state = 'resolved' and resolved_at < %(before)s;
