-- The list of the worst hosts of weeks, without adding up the days of every host, and the questions of
-- row security, which each statement of the dashboard asks several times, without planning them
-- anew. What is kept of a host says how many faults it had at most since a month ago, so that a reader goes
-- through hosts from the most on, counts each from its days, and ends as soon as no other can have more.
-- Triggers keep that promise in the transactions that count days, whoever does; upkeep makes it tight again, as
-- days pass. Locks host_faults against storing (not reading) while the days of a month are added up,
-- which takes a second for 200,000 hosts' days.

create table host_fault_bounds (
    host_id integer primary key references hosts,
    facility_id integer not null references facilities,
    faults bigint not null,
    newest timestamptz not null,
    counted_at timestamptz not null default now()
);
comment on table host_fault_bounds is 'hosts with a fault in the last 33 days';
comment on column host_fault_bounds.faults is 'no fewer than the faults of its days in the 33 days up to now: a bound, not for display';
comment on column host_fault_bounds.newest is 'no earlier than the newest of them';
create index host_fault_bounds_worst on host_fault_bounds (faults desc, newest desc);
create index host_fault_bounds_counted on host_fault_bounds (counted_at);

create function bound_new_days() returns trigger
language plpgsql set search_path from current
as $$
begin
    insert into host_fault_bounds as b (host_id, facility_id, faults, newest)
    select host_id, min(facility_id), sum(faults), max(newest)
    from added
    where bucket >= now() - interval '33 days'
    group by host_id
    order by host_id
    on conflict (host_id) do update
    set
        faults = b.faults + excluded.faults,
        newest = greatest(b.newest, excluded.newest);
    return null;
end
$$;
create trigger bound_new_days
after insert on host_faults
referencing new table as added
for each statement execute function bound_new_days();

-- A late event may join two faults to one: then the bound is one too high until it is made tight.
create function bound_changed_days() returns trigger
language plpgsql set search_path from current
as $$
begin
    insert into host_fault_bounds as b (host_id, facility_id, faults, newest)
    select n.host_id, min(n.facility_id), sum(greatest(n.faults - o.faults, 0)), max(n.newest)
    from after_update n
    join before_update o using (host_id, bucket)
    where n.bucket >= now() - interval '33 days'
        and (n.faults > o.faults or n.newest > o.newest)
    group by n.host_id
    order by n.host_id
    on conflict (host_id) do update
    set
        faults = b.faults + excluded.faults,
        newest = greatest(b.newest, excluded.newest);
    return null;
end
$$;
create trigger bound_changed_days
after update on host_faults
referencing old table as before_update new table as after_update
for each statement execute function bound_changed_days();

insert into host_fault_bounds (host_id, facility_id, faults, newest)
select host_id, min(facility_id), sum(faults), max(newest)
from host_faults
where bucket >= now() - interval '33 days'
group by host_id;

create function count_stale_hosts(most integer) returns bigint
language plpgsql set search_path from current
as $$
declare
    stale integer[];
begin
    -- A row is held before its days are added up: what is stored meanwhile is added afterwards.
    stale := array(
        select host_id
        from (
            select host_id
            from host_fault_bounds
            where counted_at < now() - interval '1 day'
            order by counted_at
            limit most
        ) s
        order by host_id
    );
    perform from host_fault_bounds where host_id = any(stale) order by host_id for update;
    update host_fault_bounds b
    set
        faults = n.faults,
        newest = n.newest,
        counted_at = now()
    from unnest(stale) as s (host_id)
    cross join lateral (
        select coalesce(sum(f.faults), 0) as faults, coalesce(max(f.newest), '-infinity') as newest
        from host_faults f
        where f.host_id = s.host_id
            and f.bucket >= now() - interval '33 days'
    ) n
    where b.host_id = s.host_id;
    delete from host_fault_bounds where host_id = any(stale) and faults = 0;
    return cardinality(stale);
end
$$;
comment on function count_stale_hosts is 'adds up anew the days of hosts for which that was not done for a day; returns how many those were';

-- Asked with the eyes of the audience, and without a search path of its own: the dashboard's `events` is
-- another. What is asked of each host is planned once, as planning takes longer than the answer.
-- A fault that goes on as the span begins counts in it, though its day may lie before: of how many
-- accelerators of one host that can be said is added to each bound.
create function worst_hosts(
    starts_at timestamptz,
    ends_at timestamptz,
    place integer,
    places integer[],
    most integer
)
returns table (host_id integer, faults bigint, newest timestamptz)
language plpgsql stable rows 15
set plan_cache_mode = force_generic_plan
set enable_sort = off
as $$
declare
    candidates cursor (going_on bigint) for
        select b.host_id, b.faults + going_on as faults, b.newest
        from host_fault_bounds b
        where b.newest >= starts_at
            and (place is null or b.facility_id = place)
            and (places is null or b.host_id in (
                select h.host_id from hosts h where h.rack_id = any(places)
            ))
        order by b.faults desc, b.newest desc;
    first_day constant timestamptz := date_bin(
        '1 day', starts_at + interval '3 minutes' + interval '1 day' - interval '1 us', 'epoch'
    );
    end_day constant timestamptz := date_bin('1 day', ends_at, 'epoch');
    before_ends_at constant timestamptz := least(ends_at, first_day);
    after_starts_at constant timestamptz := greatest(first_day, end_day - interval '3 minutes');
    started_at constant timestamptz := starts_at - interval '3 minutes';
    straddling bigint;
    days record;
    edges record;
    host_ids integer[] := '{}';
    counts bigint[] := '{}';
    times timestamptz[] := '{}';
    last_count bigint;
    last_time timestamptz;
begin
    select coalesce(max(g.gpus), 0)
    into straddling
    from (
        select count(distinct coalesce(e.gpu_id, -1)) as gpus
        from events e
        where e.time >= started_at
            and e.time < starts_at
            and is_fault(e.kind)
        group by e.host_id
    ) g;
    for candidate in candidates(straddling) loop
        exit when (candidate.faults, candidate.newest) < (last_count, last_time);
        select coalesce(sum(f.faults), 0) as faults, max(f.newest) as newest
        into days
        from host_faults f
        where f.host_id = candidate.host_id
            and f.bucket >= first_day
            and f.bucket < end_day;
        select
            count(*) filter (where t.pause is null or t.pause > interval '3 minutes') as faults,
            max(t.time) as newest
        into edges
        from (
            select e.time, e.time - lag(e.time) over (partition by e.gpu_id order by e.time) as pause
            from (
                select gpu_id, time
                from events
                where events.host_id = candidate.host_id
                    and time >= starts_at
                    and time < before_ends_at
                    and is_fault(kind)
                union all
                select gpu_id, time
                from events
                where events.host_id = candidate.host_id
                    and time >= after_starts_at
                    and time < ends_at
                    and is_fault(kind)
            ) e
        ) t
        where t.time < first_day
            or t.time >= end_day;
        continue when days.faults + edges.faults = 0;
        host_ids := host_ids || candidate.host_id;
        counts := counts || days.faults + edges.faults;
        times := times || greatest(days.newest, edges.newest);
        select u.faults, u.newest
        into last_count, last_time
        from unnest(counts, times) as u (faults, newest)
        order by u.faults desc, u.newest desc
        offset most - 1
        limit 1;
    end loop;
    return query
    select u.host_id, u.faults, u.newest
    from unnest(host_ids, counts, times) as u (host_id, faults, newest)
    order by u.faults desc, u.newest desc
    limit most;
end
$$;
comment on function worst_hosts is 'hosts with the most faults in a span that begins at most 31 days ago; for short spans, in which few have more than one, adding up days is faster';

select let_dashboard_read('host_fault_bounds');

-- As before, but planned once a session in place of once a statement.
create or replace function sees_everything() returns boolean
language plpgsql stable parallel safe security definer set search_path from current
as $$
declare
    wanted constant text := coalesce(current_setting('fleetgauge.tenant', true), '');
begin
    if coalesce(current_setting('fleetgauge.role', true), '') not in ('viewer', 'operator', 'admin')
        or coalesce(current_setting('fleetgauge.facility', true), '') <> ''
        or wanted = ''
    then
        return false;
    end if;
    return wanted = '*' or not exists (select from facilities where tenant <> wanted);
end
$$;

create or replace function visible_facilities() returns integer[]
language plpgsql stable parallel safe security definer set search_path from current
as $$
begin
    return (
        select coalesce(array_agg(facility_id), '{}')
        from facilities
        where current_setting('fleetgauge.tenant', true) in ('*', tenant)
            and coalesce(current_setting('fleetgauge.facility', true), '') in ('', facility)
            and (sees_names() or coalesce(current_setting('fleetgauge.facility', true), '') <> '')
    );
end
$$;
