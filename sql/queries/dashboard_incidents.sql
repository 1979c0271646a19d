-- Open incidents, for the pages that show them beside something else.

-- name: evaluators
-- Whether an alerts program ever reported.
select count(*)::int as count
from alert_evaluators;

-- name: open
-- Open incidents, gravest first.
select
    incident_id,
    rule,
    facility_id,
    title,
    severity,
    state,
    summary,
    firing_count,
    muted_count,
    flapping,
    extract(epoch from opened_at)::float8 as opened_s
from incidents
where state <> 'resolved'
order by
    array_position(array['critical', 'warning', 'info'], severity),
    opened_at desc
limit 100;

-- name: between
-- Incidents that were opened in a span of time, of one facility or of all: marks on time charts.
select
    title,
    severity,
    summary,
    extract(epoch from opened_at)::float8 as opened_s
from incidents
where opened_at >= to_timestamp(%(start_s)s)
    and opened_at < to_timestamp(%(end_s)s)
    and (
        %(facility_id)s::integer is null
        or facility_id = %(facility_id)s::integer
        or facility_id is null
    )
order by opened_at desc
limit 100;
