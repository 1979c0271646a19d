-- What operators do about incidents, and the audit of it. The dashboard cannot write these tables:
-- it may call the functions below, which check role and place, act, and enter the audit in one
-- transaction. Locks nothing that is in use: the tables are new.

create table audit (
    audit_id bigint generated always as identity primary key,
    time timestamptz not null default now(),
    author text not null check (author <> ''),
    role text not null,
    act text not null,
    facility_id integer references facilities,
    incident_id bigint,
    silence_id bigint,
    comment text not null default '',
    before jsonb not null default '{}',
    after jsonb not null default '{}'
);
comment on table audit is 'who did what about which incident, and what it was before and after; rows are only added';
create index audit_time on audit (time);
create index audit_incident on audit (incident_id, time);

create function audit_is_kept() returns trigger language plpgsql as $$
begin
    raise exception 'the audit is only added to';
end
$$;
create trigger audit_is_kept
before update or delete or truncate on audit
for each statement execute function audit_is_kept();

create table incident_notes (
    note_id bigint generated always as identity primary key,
    incident_id bigint not null references incidents on delete cascade,
    time timestamptz not null default now(),
    author text not null check (author <> ''),
    kind text not null check (kind in ('comment', 'assigned')),
    text text not null check (text <> '' and length(text) <= 1000)
);
comment on table incident_notes is 'what people said about an incident, and to whom it was assigned: the newest of those counts';
create index incident_notes_incident on incident_notes (incident_id, time);

select
    let_dashboard_read('audit', format('(select sees_names()) and (%s)', visibility('audit'))),
    let_dashboard_read(
        'incident_notes',
        'exists (select from incidents i where i.incident_id = incident_notes.incident_id)'
    );

-- The incident that somebody acts on, by its own number or that of one of its alerts; locked.
create function incident_to_act_on(number bigint, alert bigint) returns incidents
language plpgsql set search_path from current
as $$
declare
    found_one incidents;
begin
    if coalesce(current_setting('fleetgauge.role', true), '') not in ('operator', 'admin') then
        raise insufficient_privilege using message = 'this is for operators';
    end if;
    select i.* into found_one
    from incidents i
    where i.incident_id = coalesce(
            number, (select a.incident_id from alerts a where a.alert_id = alert)
        )
        and (sees_everything() or i.facility_id = any (visible_facilities()))
    for update;
    if found_one.incident_id is null then
        raise no_data_found using message = 'there is no such incident';
    end if;
    return found_one;
end
$$;

create function act_acknowledge(author text, number bigint, alert bigint, comment text)
returns text
language plpgsql security definer set search_path from current
as $$
declare
    incident incidents := incident_to_act_on(number, alert);
    changed bigint[];
begin
    with mine as (
        update alerts a
        set state = 'acknowledged', acknowledged_by = author, acknowledged_at = now()
        where a.incident_id = incident.incident_id and a.state = 'firing'
        returning a.alert_id
    ), told as (
        insert into alert_transitions (alert_id, time, from_state, to_state, author, note)
        select
            mine.alert_id, now(), 'firing', 'acknowledged', act_acknowledge.author,
            act_acknowledge.comment
        from mine
    )
    select array_agg(mine.alert_id) into changed from mine;
    insert into audit (author, role, act, facility_id, incident_id, comment, before, after)
    values (
        author, current_setting('fleetgauge.role'), 'acknowledge', incident.facility_id,
        incident.incident_id, comment, jsonb_build_object('state', incident.state),
        jsonb_build_object('acknowledged', coalesce(to_jsonb(changed), '[]'))
    );
    return format('%s alerts acknowledged', coalesce(cardinality(changed), 0));
end
$$;

create function act_note(author text, number bigint, alert bigint, kind text, words text)
returns text
language plpgsql security definer set search_path from current
as $$
declare
    incident incidents := incident_to_act_on(number, alert);
    earlier text;
begin
    select n.text into earlier
    from incident_notes n
    where n.incident_id = incident.incident_id and n.kind = 'assigned' and act_note.kind = 'assigned'
    order by n.note_id desc
    limit 1;
    insert into incident_notes (incident_id, author, kind, text)
    values (incident.incident_id, author, kind, words);
    insert into audit (author, role, act, facility_id, incident_id, comment, before, after)
    values (
        author, current_setting('fleetgauge.role'),
        case kind when 'assigned' then 'assign' else 'comment' end, incident.facility_id,
        incident.incident_id, words,
        case when earlier is null then '{}'::jsonb else jsonb_build_object('assigned', earlier) end,
        jsonb_build_object(kind, words)
    );
    return case kind when 'assigned' then format('assigned to %s', words) else 'comment kept' end;
end
$$;

create function act_silence(
    author text, number bigint, alert bigint, comment text, hours double precision
)
returns text
language plpgsql security definer set search_path from current
as $$
declare
    incident incidents := incident_to_act_on(number, alert);
    made silences;
begin
    insert into silences (rule, facility_id, author, comment, ends_at)
    values (
        incident.rule, incident.facility_id, author, comment,
        now() + hours * interval '1 hour'
    )
    returning * into made;
    insert into audit (
        author, role, act, facility_id, incident_id, silence_id, comment, before, after
    )
    values (
        author, current_setting('fleetgauge.role'), 'silence', incident.facility_id,
        incident.incident_id, made.silence_id, comment,
        jsonb_build_object('muted', incident.muted_count), to_jsonb(made)
    );
    return format(
        'silenced until %s UTC', to_char(made.ends_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
    );
end
$$;

create function act_end_silence(author text, number bigint, comment text) returns text
language plpgsql security definer set search_path from current
as $$
declare
    before silences;
    after silences;
begin
    if coalesce(current_setting('fleetgauge.role', true), '') not in ('operator', 'admin') then
        raise insufficient_privilege using message = 'this is for operators';
    end if;
    select s.* into before
    from silences s
    left join accelerators a on a.gpu_id = s.gpu_id
    left join hosts h on h.host_id = coalesce(s.host_id, a.host_id)
    where s.silence_id = number and s.ends_at > now()
        and (
            sees_everything()
            or coalesce(s.facility_id, h.facility_id) = any (visible_facilities())
        )
    for update of s;
    if before.silence_id is null then
        raise no_data_found using message = 'there is no such silence';
    end if;
    update silences s
    set ends_at = greatest(now(), s.starts_at + interval '1 millisecond')
    where s.silence_id = number
    returning * into after;
    insert into audit (author, role, act, facility_id, silence_id, comment, before, after)
    values (
        author, current_setting('fleetgauge.role'), 'end silence', before.facility_id, number,
        comment, to_jsonb(before), to_jsonb(after)
    );
    return 'the silence has ended';
end
$$;

do $$
declare
    one regprocedure;
begin
    for one in
        select oid from pg_proc
        where proname in (
            'act_acknowledge', 'act_note', 'act_silence', 'act_end_silence', 'incident_to_act_on'
        )
    loop
        execute format('revoke execute on function %s from public', one);
        if one::text not like 'incident_to_act_on%' then
            execute format('grant execute on function %s to fleetgauge_desk', one);
        end if;
    end loop;
end
$$;
