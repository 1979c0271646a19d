-- Boards that had faults in the last 30 days, for the list of repeat offenders: a month of events would
-- have to be sorted otherwise. What is kept of a board says how many occasions it had at most, so
-- that a reader goes through boards from the most on, counts each from its events, and ends as soon as no
-- other can have more. Triggers keep that promise in the transactions that store events, that tell a
-- serial, and that change the policy, whoever makes them; upkeep makes it tight again, as days pass. Locks events
-- against storing (not reading) while those of 30 days are counted, which takes seconds a million, and
-- accelerators and xid_policy for a moment.

create table board_faults (
    board text primary key,
    gpu_ids integer[] not null,
    facility_ids integer[] not null,
    occasions integer not null,
    newest timestamptz not null,
    counted_at timestamptz not null default now()
);
comment on table board_faults is 'boards, by serial or else UUID, with a fault in the last 30 days; codes that ask for nothing, or blame the program, are left out';
comment on column board_faults.gpu_ids is 'the seats in which it had them';
comment on column board_faults.occasions is 'no fewer than there were in the 30 days up to now, in all seats together: a bound, not for display';
comment on column board_faults.newest is 'no earlier than the newest of them';
create index board_faults_worst on board_faults (occasions desc, newest desc) where occasions > 1;
create index board_faults_counted on board_faults (counted_at);

-- As a function without a search path of its own: the dashboard's `events` is another.
create function offences(gpus integer[], since timestamptz)
returns table (gpu_id integer, host_id integer, kind text, code bigint, "time" timestamptz)
language sql stable
as $$
    select e.gpu_id, e.host_id, e.kind, e.code, e.time
    from events e
    left join xid_policy p on e.kind = 'xid' and p.code = e.code
    where e.gpu_id = any(gpus)
        and e.time >= since
        and e.kind in ('xid', 'gpu_lost', 'ecc_uncorrected', 'row_remap', 'recovery_action')
        and (e.kind <> 'xid' or p.code is null or p.severity is not null)
$$;
comment on function offences is 'events of accelerators that speak against their board';

create function count_boards(boards text[]) returns void
language plpgsql set search_path from current
as $$
begin
    -- A row is held before its events are counted: what is stored meanwhile is added afterwards.
    insert into board_faults (board, gpu_ids, facility_ids, occasions, newest)
    select distinct b, '{}'::integer[], '{}'::integer[], 0, '-infinity'::timestamptz
    from unnest(boards) b
    order by b
    on conflict do nothing;
    perform from board_faults where board = any(boards) order by board for update;
    update board_faults b
    set
        gpu_ids = n.gpu_ids,
        facility_ids = n.facility_ids,
        occasions = n.occasions,
        newest = n.newest,
        counted_at = now()
    from unnest(boards) as d (board)
    cross join lateral (
        select
            count(*) filter (where o.pause is null or o.pause > interval '3 minutes') as occasions,
            coalesce(max(o.time), '-infinity') as newest,
            coalesce(array_agg(distinct o.gpu_id), '{}') as gpu_ids,
            coalesce(array_agg(distinct o.facility_id), '{}') as facility_ids
        from (
            select
                o.gpu_id,
                h.facility_id,
                o.time,
                o.time - lag(o.time) over (order by o.time) as pause
            from offences(
                array(select gpu_id from accelerators where serial = d.board)
                || array(
                    select gpu_id from accelerators
                    where serial is null
                        and uuid = case when d.board ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then d.board::uuid end
                ),
                now() - interval '30 days'
            ) o
            join hosts h using (host_id)
        ) o
    ) n
    where b.board = d.board;
    delete from board_faults where board = any(boards) and occasions = 0;
end
$$;
comment on function count_boards is 'counts the occasions of boards anew';

create function count_stale_boards(most integer) returns bigint
language sql set search_path from current
as $$
    with stale as (
        select board, gpu_ids
        from board_faults
        where counted_at < now() - interval '1 day'
        order by counted_at
        limit most
    ),
    named as (
        select board from stale
        union
        -- By now a serial may be known.
        select coalesce(a.serial, a.uuid::text)
        from stale s
        join accelerators a on a.gpu_id = any(s.gpu_ids)
    ),
    made as materialized (select count_boards(array_agg(board)) from named having count(*) > 0)
    select count(*) from stale where exists (select from made)
$$;
comment on function count_stale_boards is 'counts boards anew that were not counted for a day; returns how many those were';

-- An event adds an occasion if none of its accelerator is less than three minutes before it. One that
-- comes late may join two occasions: then the bound is one too high until it is made tight.
create function add_board_faults() returns trigger
language plpgsql set search_path from current
as $$
begin
    insert into board_faults (board, gpu_ids, facility_ids, occasions, newest)
    select
        coalesce(a.serial, a.uuid::text) as board,
        array_agg(distinct a.gpu_id),
        array_agg(distinct h.facility_id),
        count(*) filter (where not exists (
            select from offences(array[n.gpu_id], n.time - interval '3 minutes') o
            where o.time < n.time
        )),
        max(n.time)
    from (select distinct gpu_id, time from added where gpu_id is not null) n
    join accelerators a using (gpu_id)
    join hosts h using (host_id)
    where n.time >= now() - interval '30 days'
        and exists (select from offences(array[n.gpu_id], n.time) o where o.time = n.time)
    group by 1
    order by 1
    on conflict (board) do update
    set
        gpu_ids = array(select unnest(board_faults.gpu_ids) union select unnest(excluded.gpu_ids)),
        facility_ids = array(
            select unnest(board_faults.facility_ids) union select unnest(excluded.facility_ids)
        ),
        occasions = board_faults.occasions + excluded.occasions,
        newest = greatest(board_faults.newest, excluded.newest);
    return null;
end
$$;
create trigger add_board_faults
after insert on events
referencing new table as added
for each statement execute function add_board_faults();

create function rename_board() returns trigger
language plpgsql set search_path from current
as $$
declare
    before text := coalesce(old.serial, old.uuid::text);
begin
    if exists (select from board_faults where board = before) then
        perform count_boards(array[before, coalesce(new.serial, new.uuid::text)]);
    end if;
    return null;
end
$$;
create trigger rename_board
after update of serial on accelerators
for each row when (old.serial is distinct from new.serial)
execute function rename_board();

-- Where a code no longer counts, a bound is only too high.
create function count_boards_of_code() returns trigger
language plpgsql set search_path from current
as $$
begin
    perform count_boards(array_agg(f.board))
    from (
        select distinct coalesce(a.serial, a.uuid::text) as board
        from events e
        join accelerators a using (gpu_id)
        where e.time >= now() - interval '30 days'
            and e.kind = 'xid'
            and e.code = old.code
    ) f
    having count(*) > 0;
    return null;
end
$$;
create trigger code_counts
after update of severity on xid_policy
for each row when (old.severity is null and new.severity is not null)
execute function count_boards_of_code();
create trigger code_is_unknown
after delete on xid_policy
for each row when (old.severity is null)
execute function count_boards_of_code();

-- Asked with the eyes of the audience: a board counts as often as those see. What is asked of each
-- board is planned once, as planning takes longer than the answer; boards are read in the order of
-- their index, as few of them are.
create function worst_boards(since timestamptz, place integer, places integer[], most integer)
returns table (board text, gpu_ids integer[])
language plpgsql stable rows 15
set plan_cache_mode = force_generic_plan
set enable_sort = off
as $$
declare
    candidates cursor for
        select b.board, b.gpu_ids, b.occasions, b.newest
        from board_faults b
        where b.occasions > 1
            and b.newest >= since
            and (place is null or place = any(b.facility_ids))
            and (places is null or b.board in (
                select coalesce(a.serial, a.uuid::text)
                from hosts h
                join accelerators a using (host_id)
                where h.rack_id = any(places)
            ))
        order by b.occasions desc, b.newest desc;
    counted record;
    seats integer[];
    boards text[] := '{}';
    seats_of text[] := '{}';
    occasions bigint[] := '{}';
    newest timestamptz[] := '{}';
    last_occasions bigint;
    last_newest timestamptz;
begin
    for candidate in candidates loop
        exit when (candidate.occasions, candidate.newest) < (last_occasions, last_newest);
        select array_agg(a.gpu_id)
        into seats
        from accelerators a
        where a.gpu_id = any(candidate.gpu_ids)
            and coalesce(a.serial, a.uuid::text) = candidate.board;
        select
            count(*) filter (where o.pause is null or o.pause > interval '3 minutes') as occasions,
            max(o.time) as newest,
            (array_agg(o.host_id order by o.time desc))[1] as host_id
        into counted
        from (
            select f.host_id, f.time, f.time - lag(f.time) over (order by f.time) as pause
            from offences(seats, since) f
        ) o;
        continue when counted.occasions < 2 or not exists (
            select from hosts h
            where h.host_id = counted.host_id
                and (place is null or h.facility_id = place)
                and (places is null or h.rack_id = any(places))
        );
        boards := boards || candidate.board;
        seats_of := seats_of || seats::text;
        occasions := occasions || counted.occasions;
        newest := newest || counted.newest;
        select u.occasions, u.newest
        into last_occasions, last_newest
        from unnest(occasions, newest) as u (occasions, newest)
        order by u.occasions desc, u.newest desc
        offset most - 1
        limit 1;
    end loop;
    return query
    select u.board, u.seats::integer[]
    from unnest(boards, seats_of, occasions, newest) as u (board, seats, occasions, newest)
    order by u.occasions desc, u.newest desc
    limit most;
end
$$;
comment on function worst_boards is 'boards with the most occasions, at least two, and their seats; those last seen in a facility or some racks, if any';

-- As `count_boards`, in one pass.
insert into board_faults (board, gpu_ids, facility_ids, occasions, newest)
select
    o.board,
    array_agg(distinct o.gpu_id),
    array_agg(distinct h.facility_id),
    count(*) filter (where o.pause is null or o.pause > interval '3 minutes'),
    max(o.time)
from (
    select
        coalesce(a.serial, a.uuid::text) as board,
        e.gpu_id,
        e.host_id,
        e.time,
        e.time - lag(e.time) over (
            partition by coalesce(a.serial, a.uuid::text) order by e.time
        ) as pause
    from events e
    join accelerators a using (gpu_id)
    left join xid_policy p on e.kind = 'xid' and p.code = e.code
    where e.time >= now() - interval '30 days'
        and e.kind in ('xid', 'gpu_lost', 'ecc_uncorrected', 'row_remap', 'recovery_action')
        and (e.kind <> 'xid' or p.code is null or p.severity is not null)
) o
join hosts h using (host_id)
group by 1;

select let_dashboard_read(
    'board_faults',
    '(select sees_everything()) or facility_ids && (select visible_facilities())'
);
