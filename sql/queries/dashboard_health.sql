-- The Health page.

-- name: timeline
-- Hardware events by kind, code and step, with what the policy says of a code.
select
    e.kind,
    e.code,
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), e.time, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    count(*)::int as count,
    count(distinct e.gpu_id)::int as accelerators,
    count(distinct e.host_id)::int as hosts,
    extract(epoch from max(e.time))::float8 as newest_s,
    max(p.meaning) as meaning,
    max(p.action) as action,
    max(p.severity) as severity
from events e
join hosts h using (host_id)
left join xid_policy p on e.kind in ('xid', 'xid_burst') and p.code = e.code
where e.time >= to_timestamp(%(start_s)s)
    and e.time < to_timestamp(%(end_s)s)
    and e.kind not in ('agent_start', 'agent_stop', 'clock_stepped', 'driver_changed')
    and (%(facility_id)s::integer is null or h.facility_id = %(facility_id)s::integer)
    and (%(rack_ids)s::integer[] is null or h.rack_id = any(%(rack_ids)s::integer[]))
group by 1, 2, 3
order by 3 desc
limit 5000;

-- name: since
-- When the driver last said something of some accelerators that bears on what they ask for.
select
    gpu_id,
    extract(epoch from max(time))::float8 as time_s
from events
where gpu_id = any(%(gpu_ids)s)
    and kind in ('xid', 'row_remap', 'recovery_action', 'ecc_uncorrected', 'gpu_lost')
    and time >= now() - interval '30 days'
group by 1;

-- name: identities
-- Serials of some accelerators, for who is to replace them.
select
    gpu_id,
    serial,
    model
from accelerators
where gpu_id = any(%(gpu_ids)s);

-- name: worst_hosts
-- Hosts with the most faults in a span of time; events within three minutes of each other on one
-- accelerator are one fault. Whole days are counted already (`host_faults`); what lies before and
-- after them is counted here. A day is whole if the three minutes before it are in the span too. Times
-- are computed first: what the view of events lets into its index is comparisons and no arithmetic.
-- In a span of weeks hosts are gone through from those on that can have the most.
with days as (
    select
        to_timestamp(%(start_s)s) as starts_at,
        to_timestamp(%(end_s)s) as ends_at,
        date_bin(
            '1 day',
            to_timestamp(%(start_s)s) + interval '3 minutes' + interval '1 day' - interval '1 us',
            'epoch'::timestamptz
        ) as first_day,
        date_bin('1 day', to_timestamp(%(end_s)s), 'epoch'::timestamptz) as end_day,
        %(end_s)s - %(start_s)s > 14 * 86400
            and to_timestamp(%(start_s)s) >= now() - interval '31 days' as is_long
),
span as materialized (
    select
        starts_at,
        ends_at,
        first_day,
        end_day,
        least(ends_at, first_day) as before_ends_at,
        greatest(first_day, end_day - interval '3 minutes') as after_starts_at,
        is_long
    from days
),
short as materialized (
    select *
    from span
    where not is_long
),
told as (
    select
        e.host_id,
        e.time,
        e.time - lag(e.time) over (partition by e.host_id, e.gpu_id order by e.time) as pause
    from short s
    cross join lateral (
        select host_id, gpu_id, time
        from events
        where time >= s.starts_at
            and time < s.before_ends_at
            and is_fault(kind)
        union all
        select host_id, gpu_id, time
        from events
        where time >= s.after_starts_at
            and time < s.ends_at
            and is_fault(kind)
    ) e
),
edges as (
    select
        t.host_id,
        (count(*) filter (where t.pause is null or t.pause > interval '3 minutes'))::integer as faults,
        max(t.time) as newest
    from told t
    where t.time < (select first_day from short)
        or t.time >= (select end_day from short)
    group by 1
),
added as (
    select
        host_id,
        sum(faults) as faults,
        max(newest) as newest
    from (
        select host_id, faults, newest
        from host_faults
        where bucket >= (select first_day from short)
            and bucket < (select end_day from short)
            and (%(facility_id)s::integer is null or facility_id = %(facility_id)s::integer)
        union all
        select e.host_id, e.faults, e.newest
        from edges e
        where %(facility_id)s::integer is null
            or e.host_id in (
                select h.host_id from hosts h where h.facility_id = %(facility_id)s::integer
            )
    ) f
    where %(rack_ids)s::integer[] is null
        or f.host_id in (select h.host_id from hosts h where h.rack_id = any(%(rack_ids)s::integer[]))
    group by 1
    order by 2 desc, 3 desc
    limit 15
),
worst as (
    select host_id, faults, newest
    from added
    union all
    select w.host_id, w.faults, w.newest
    from span s
    cross join lateral worst_hosts(
        s.starts_at, s.ends_at, %(facility_id)s::integer, %(rack_ids)s::integer[], 15
    ) w
    where s.is_long
)
select
    h.facility_id,
    h.host,
    w.faults::int as faults,
    of_all.accelerators,
    of_all.what,
    extract(epoch from w.newest)::float8 as newest_s
from worst w
join hosts h using (host_id)
cross join lateral (
    select
        count(distinct gpu_id)::int as accelerators,
        array_agg(distinct kind) filter (where kind is not null) as what
    from (
        select u.gpu_id, u.kind
        from host_faults f
        cross join lateral unnest(f.gpu_ids, f.kinds) as u (gpu_id, kind)
        where f.host_id = w.host_id
            and f.bucket >= (select first_day from span)
            and f.bucket < (select end_day from span)
        union all
        select e.gpu_id, fault_name(e.kind, e.code)
        from span s
        cross join lateral (
            select gpu_id, kind, code
            from events
            where host_id = w.host_id
                and time >= s.starts_at
                and time < s.before_ends_at
                and is_fault(kind)
            union all
            select gpu_id, kind, code
            from events
            where host_id = w.host_id
                and time >= greatest(s.first_day, s.end_day)
                and time < s.ends_at
                and is_fault(kind)
        ) e
    ) part
) of_all
order by faults desc, newest_s desc;

-- name: offenders
-- Boards that had a fault on at least two occasions in 30 days, followed by serial wherever they
-- sat. Codes that ask for nothing, or blame the program, are left out. All is put together in the
-- order in which pauses are looked for, and names are told apart by their bytes, which spares a sort of
-- all events and one by the rules of a language.
with seats as materialized (
    select w.board, a.gpu_id, a.model, a.index
    from worst_boards(
        now() - interval '30 days', %(facility_id)s::integer, %(rack_ids)s::integer[], 15
    ) w
    join accelerators a on a.gpu_id = any(w.gpu_ids)
),
told as (
    select
        s.board,
        s.model,
        o.host_id,
        s.index,
        case when o.kind = 'xid' then 'Xid ' || o.code else replace(o.kind, '_', ' ') end as what,
        o.time,
        o.time - lag(o.time) over (partition by s.board order by o.time) as pause
    from seats s
    cross join lateral (
        select *
        from offences(array[s.gpu_id], now() - interval '30 days')
        offset 0
    ) o
),
boards as (
    select
        board,
        max(model) as model,
        (count(*) filter (where pause is null or pause > interval '3 minutes'))::int as occasions,
        count(distinct host_id)::int as seats,
        array_agg(distinct what collate "C") as what,
        (array_agg(host_id order by time))[count(*)] as host_id,
        (array_agg(index order by time))[count(*)] as index,
        min(time) as oldest,
        max(time) as newest,
        array_agg(extract(epoch from time)::float8 order by time) as times_s
    from told
    group by 1
)
select
    b.board,
    b.model,
    b.occasions,
    b.seats,
    b.what,
    h.facility_id,
    h.host,
    b.index,
    extract(epoch from b.oldest)::float8 as oldest_s,
    extract(epoch from b.newest)::float8 as newest_s,
    b.times_s
from boards b
join hosts h using (host_id)
order by b.occasions desc, b.newest desc;
