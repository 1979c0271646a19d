-- Faults by host and day, for lists of the worst hosts: a month of events would have to be sorted
-- otherwise. A trigger counts the days that new events touch, in the transaction that stores them and
-- whoever does: late events, and those that come between two others, count right. A collector stores
-- the events of a batch by one statement, so a day is counted once a batch. Locks events against storing
-- (not reading) while those that are there are indexed and counted, which takes seconds a million.

create table host_faults (
    bucket timestamptz not null,
    host_id integer not null references hosts,
    facility_id integer not null references facilities,
    faults integer not null,
    newest timestamptz not null,
    gpu_ids integer[] not null,
    kinds text[] not null,
    primary key (host_id, bucket)
);
comment on table host_faults is 'faults of a host by day (UTC); events within three minutes of each other on one accelerator are one fault, of the day on which it began';
comment on column host_faults.gpu_ids is 'accelerators that had such events on that day';
comment on column host_faults.kinds is 'what these events were, with their codes';
-- Who had the most is found in this index alone.
create index host_faults_day on host_faults (bucket) include (host_id, facility_id, faults, newest);
create index events_host on events (host_id, time);

create function is_fault(kind text) returns boolean
language sql immutable parallel safe
as $$
    select kind in (
        'xid', 'sxid', 'gpu_lost', 'ecc_uncorrected', 'row_remap', 'recovery_action',
        'gpu_unavailable', 'driver_hung'
    )
$$;
comment on function is_fault is 'whether events of a kind are faults of hardware or driver';

create function fault_name(kind text, code bigint) returns text
language sql immutable parallel safe
as $$
    select case when kind in ('xid', 'sxid') and code is not null then kind || ' ' || code else kind end
$$;
comment on function fault_name is 'what a fault is called in lists: its kind, with the code where there is one';

create function count_faults(hosts_touched integer[], days timestamptz[]) returns void
language sql set search_path from current
as $$
    insert into host_faults (bucket, host_id, facility_id, faults, newest, gpu_ids, kinds)
    select d.bucket, h.host_id, h.facility_id, n.faults, n.newest, n.gpu_ids, n.kinds
    from unnest(hosts_touched, days) as d (host_id, bucket)
    join hosts h using (host_id)
    cross join lateral (
        select
            count(*) filter (where e.pause is null or e.pause > interval '3 minutes') as faults,
            max(e.time) as newest,
            coalesce(array_agg(distinct e.gpu_id) filter (where e.gpu_id is not null), '{}') as gpu_ids,
            array_agg(distinct fault_name(e.kind, e.code)) as kinds
        from (
            select
                gpu_id,
                kind,
                code,
                time,
                time - lag(time) over (partition by gpu_id order by time) as pause
            from events
            where host_id = d.host_id
                and time >= d.bucket - interval '3 minutes'
                and time < d.bucket + interval '1 day'
                and is_fault(kind)
        ) e
        where e.time >= d.bucket
    ) n
    where n.newest is not null
    order by h.host_id, d.bucket
    on conflict (host_id, bucket) do update
    set
        faults = excluded.faults,
        newest = excluded.newest,
        gpu_ids = excluded.gpu_ids,
        kinds = excluded.kinds
$$;
comment on function count_faults is 'counts the faults of the n-th host on the n-th day (midnight UTC) anew; no pair may stand twice';

-- An event may end the pause before one of the next day.
create function count_new_faults() returns trigger
language plpgsql set search_path from current
as $$
begin
    perform count_faults(array_agg(t.host_id), array_agg(t.bucket))
    from (
        select distinct a.host_id, date_bin('1 day', touched.time, 'epoch'::timestamptz) as bucket
        from added a
        cross join lateral (values (a.time), (a.time + interval '3 minutes')) as touched (time)
        where is_fault(a.kind)
    ) t;
    return null;
end
$$;
create trigger count_new_faults
after insert on events
referencing new table as added
for each statement execute function count_new_faults();

select count_faults(array_agg(host_id), array_agg(bucket))
from (
    select distinct host_id, date_bin('1 day', time, 'epoch'::timestamptz) as bucket
    from events
    where is_fault(kind)
) e;

select let_dashboard_read('host_faults');
