-- The Audit page.

-- name: entries
-- Who did what in a span of time, newest first.
select
    a.audit_id,
    extract(epoch from a.time)::float8 as time_s,
    a.author,
    a.role,
    a.act,
    a.facility_id,
    a.incident_id,
    a.silence_id,
    a.comment,
    a.before::text as before,
    a.after::text as after,
    i.title
from audit a
left join incidents i using (incident_id)
where a.time >= to_timestamp(%(start_s)s)
    and a.time < to_timestamp(%(end_s)s)
order by a.time desc, a.audit_id desc
limit 200;
