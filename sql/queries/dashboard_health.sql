-- The Health page.

-- name: events
-- Events of the window by kind, code and step, with how many accelerators they hit.
select
    e.kind,
    e.code,
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), e.time, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    count(*)::int as count
from events e
where e.time >= to_timestamp(%(start_s)s)
    and e.time < to_timestamp(%(end_s)s)
    and e.kind not in ('agent_start', 'agent_stop')
group by 1, 2, 3;

-- name: kinds
-- What happened in the window, by kind and code; the policy says what a code means.
select
    e.kind,
    e.code,
    count(*)::int as count,
    count(distinct e.gpu_id)::int as accelerators,
    count(distinct e.host_id)::int as hosts,
    extract(epoch from max(e.time))::float8 as newest_s,
    max(p.meaning) as meaning,
    max(p.action) as action,
    max(p.severity) as severity
from events e
left join xid_policy p on e.kind = 'xid' and p.code = e.code
where e.time >= to_timestamp(%(start_s)s)
    and e.time < to_timestamp(%(end_s)s)
    and e.kind not in ('agent_start', 'agent_stop')
group by 1, 2
order by count desc
limit 60;

-- name: offenders
-- Accelerators with the most trouble in the window, repeat offenders first.
select
    h.facility_id,
    h.host,
    a.index,
    a.serial,
    count(*)::int as count,
    count(distinct e.kind)::int as kinds,
    array_agg(distinct case when e.kind = 'xid' then 'Xid ' || e.code else e.kind end) as what,
    extract(epoch from max(e.time))::float8 as newest_s
from events e
join hosts h using (host_id)
join accelerators a using (gpu_id)
where e.time >= to_timestamp(%(start_s)s)
    and e.time < to_timestamp(%(end_s)s)
group by 1, 2, 3, 4
order by count desc, newest_s desc
limit 20;
