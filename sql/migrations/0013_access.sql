-- Who may read what: the dashboard's role, row security by tenant and facility, and nothing else.
--
-- The dashboard reads as `fleetgauge_reader` (it does `set local role`, whoever it connects as) and
-- says in each transaction for whom: `fleetgauge.tenant` (* for all), `fleetgauge.facility` (empty
-- for all), `fleetgauge.role`. Without them nothing is visible. A landlord sees hardware of a
-- facility, and no name of a job, a queue or a person.
--
-- A table that the dashboard may read is opened by `let_dashboard_read`, or, where TimescaleDB has
-- a columnstore, which takes no row security, by `let_dashboard_read_through_view`. What is opened
-- by neither stays shut. Locks each table for a moment; nothing is rewritten.

do $$
declare
    wanted text;
begin
    foreach wanted in array array['fleetgauge_reader', 'fleetgauge_desk'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
            exception
                when duplicate_object or unique_violation then
                    null; -- another database of this server was migrated at the same time
            end;
        end if;
        if not pg_has_role(current_user, wanted, 'set') then
            execute format('grant %I to current_user', wanted);
        end if;
    end loop;
exception
    when insufficient_privilege then
        raise exception 'this user may not create the roles fleetgauge_reader and fleetgauge_desk'
            using hint = 'Create both (nologin) and grant them to this user, then migrate again.';
end
$$;

create schema visible;
comment on schema visible is 'what stands in for tables that take no row security; first in the search path of the dashboard';
grant usage on schema visible to fleetgauge_reader;

create function sees_everything() returns boolean
language sql stable parallel safe security definer set search_path from current
as $$
    select coalesce(current_setting('fleetgauge.role', true), '') in ('viewer', 'operator', 'admin')
        and coalesce(current_setting('fleetgauge.facility', true), '') = ''
        and coalesce(current_setting('fleetgauge.tenant', true), '') <> ''
        and (
            current_setting('fleetgauge.tenant', true) = '*'
            or not exists (
                select from facilities where tenant <> current_setting('fleetgauge.tenant', true)
            )
        )
$$;
comment on function sees_everything is 'whether nothing has to be left out: for everybody''s eyes, or the only tenant. Policies ask this once a query, so that they cost nothing where it is true';

create function sees_names() returns boolean
language sql stable parallel safe
as $$
    select coalesce(current_setting('fleetgauge.role', true), '') in ('viewer', 'operator', 'admin')
$$;
comment on function sees_names is 'false for a landlord: no job, queue or person is named to one';

create function visible_facilities() returns integer[]
language sql stable parallel safe security definer set search_path from current
as $$
    select coalesce(array_agg(facility_id), '{}')
    from facilities
    where current_setting('fleetgauge.tenant', true) in ('*', tenant)
        and coalesce(current_setting('fleetgauge.facility', true), '') in ('', facility)
        and (sees_names() or coalesce(current_setting('fleetgauge.facility', true), '') <> '')
$$;

create function visibility(relation regclass) returns text
language plpgsql stable
as $$
declare
    name text := (select relname from pg_class where oid = relation);
    place text := '= any ((select visible_facilities())::integer[])';
    key text;
begin
    select attname into key
    from pg_attribute
    where attrelid = relation
        and not attisdropped
        and attname in ('facility_id', 'host_id', 'rack_id', 'gpu_id')
    order by array_position(array['facility_id', 'host_id', 'rack_id', 'gpu_id'], attname::text)
    limit 1;
    return case key
        when 'facility_id' then format('(select sees_everything()) or %I.facility_id %s', name, place)
        when 'host_id' then format(
            '(select sees_everything()) or exists (select from hosts h'
            ' where h.host_id = %I.host_id and h.facility_id %s)', name, place
        )
        when 'rack_id' then format(
            '(select sees_everything()) or exists (select from racks r'
            ' where r.rack_id = %I.rack_id and r.facility_id %s)', name, place
        )
        when 'gpu_id' then format(
            '(select sees_everything()) or exists (select from accelerators a join hosts h'
            ' using (host_id) where a.gpu_id = %I.gpu_id and h.facility_id %s)', name, place
        )
    end;
end
$$;
comment on function visibility is 'which rows of a table are for the eyes of the audience, by the first of its columns facility_id, host_id, rack_id and gpu_id; null where it has none';

create function let_dashboard_read(relation regclass, condition text default null) returns void
language plpgsql
as $$
begin
    execute format('alter table %s enable row level security', relation);
    execute format(
        'create policy audience on %s for select to fleetgauge_reader using (%s)',
        relation, coalesce(condition, visibility(relation))
    );
    execute format('grant select on %s to fleetgauge_reader', relation);
end
$$;
comment on function let_dashboard_read is 'opens a table to the dashboard, row by row; without a condition, by the place of a row';

create function let_dashboard_read_through_view(relation regclass) returns void
language plpgsql
as $$
declare
    name text := (select relname from pg_class where oid = relation);
begin
    -- A process's name stands in what the kernel says of an error: not for a landlord.
    execute format(
        'create or replace view visible.%I with (security_barrier) as select %s from %s where %s',
        name,
        (
            select string_agg(
                case
                    when relname = 'events' and attname = 'message'
                        then 'case when (select sees_names()) then message else '''' end as message'
                    when relname = 'events' and attname = 'detail'
                        then 'case when (select sees_names()) then detail else ''{}'' end as detail'
                    else quote_ident(attname)
                end,
                ', ' order by attnum
            )
            from pg_attribute
            join pg_class on pg_class.oid = attrelid
            where attrelid = relation and attnum > 0 and not attisdropped
        ),
        relation,
        visibility(relation)
    );
    execute format('grant select on visible.%I to fleetgauge_reader', name);
end
$$;
comment on function let_dashboard_read_through_view is 'opens a table to the dashboard through a view of the same name; called again, it takes new columns in';

create function renew_visible_views() returns void
language sql
as $$
    select let_dashboard_read_through_view(to_regclass(viewname))
    from pg_views
    where schemaname = 'visible' and to_regclass(viewname) is not null
$$;
comment on function renew_visible_views is 'after migrations: columns that they added are there for the dashboard too';

select
    let_dashboard_read('facilities', 'facility_id = any ((select visible_facilities())::integer[])'),
    let_dashboard_read('racks'),
    let_dashboard_read('hosts'),
    let_dashboard_read('accelerators'),
    let_dashboard_read('host_state'),
    let_dashboard_read('agent_state'),
    let_dashboard_read('host_marks'),
    let_dashboard_read('sequence_gaps'),
    let_dashboard_read('state_intervals'),
    let_dashboard_read('facility_rollup_10s'),
    let_dashboard_read('rack_rollup_1m'),
    let_dashboard_read('xid_policy', 'true'),
    let_dashboard_read_through_view('samples'),
    let_dashboard_read_through_view('slow_samples'),
    let_dashboard_read_through_view('events');

-- What has names of jobs and people in it.
select
    let_dashboard_read(
        relation, format('(select sees_names()) and (%s)', visibility(relation))
    )
from unnest(array['queue_state', 'queue_samples', 'incidents', 'alerts']::regclass[]) as relation;
select
    let_dashboard_read(relation, '(select sees_names())')
from unnest(array[
    'alert_rules', 'alert_evaluators', 'collectors', 'stream_offsets', 'lost_ranges'
]::regclass[]) as relation;

-- What belongs to what is visible.
select
    let_dashboard_read(
        'silences',
        '(select sees_names()) and ((select sees_everything())'
        ' or facility_id = any ((select visible_facilities())::integer[])'
        ' or exists (select from hosts h where h.host_id = silences.host_id)'
        ' or exists (select from accelerators a where a.gpu_id = silences.gpu_id))'
    ),
    let_dashboard_read(
        'alert_transitions',
        'exists (select from alerts a where a.alert_id = alert_transitions.alert_id)'
    ),
    let_dashboard_read(
        'outbox',
        '(select sees_everything())'
        ' or exists (select from incidents i where i.incident_id = outbox.incident_id)'
    ),
    let_dashboard_read(
        'delivery_attempts',
        'exists (select from outbox o where o.message_id = delivery_attempts.message_id)'
    ),
    -- Parts of messages that could not be read: nobody knows whose they are.
    let_dashboard_read('quarantine', '(select sees_everything())'),
    -- Claims made in a tenant's name are its own to know.
    let_dashboard_read(
        'identity_findings',
        '(select sees_everything()) or ((select sees_names())'
        ' and identity_findings.tenant = (select current_setting(''fleetgauge.tenant'', true)))'
    );
