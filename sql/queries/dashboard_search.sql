-- The search box.

-- name: hosts
-- Hosts whose name holds the words.
select
    h.facility_id,
    h.host,
    concat_ws(' / ', nullif(r.hall, ''), nullif(r.row, ''), nullif(r.rack, '')) as place
from hosts h
join racks r using (rack_id)
where h.host ilike %(anywhere)s
order by h.host
limit %(limit)s;

-- name: accelerators
-- Accelerators whose UUID or serial begins with the words; `GPU-` before a UUID is left out.
select
    h.facility_id,
    h.host,
    coalesce(a.index, 0) as index,
    case when a.serial ilike %(start)s then a.serial else a.uuid::text end as name
from accelerators a
join hosts h using (host_id)
where a.serial ilike %(start)s
    or a.uuid::text ilike regexp_replace(%(start)s, '^GPU-', '', 'i')
order by h.host, a.index
limit %(limit)s;
