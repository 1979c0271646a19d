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
