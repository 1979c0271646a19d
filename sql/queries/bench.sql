-- What the benches ask.

-- name: stored_messages
-- Messages that all collectors together have stored.
select coalesce(sum(stored_messages), 0)::bigint
from host_marks;

-- name: newest_of
-- The newest tick stored of each host of a facility.
select extract(epoch from s.time)::float8
from host_state s
join hosts h using (host_id)
join facilities f using (facility_id)
where f.facility = %(facility)s
    and s.time is not null;
