-- Somebody silenced so much that a fault could hide in it.
--
-- title: wide silences
-- severity: warning
-- for: 0s
-- clear: 0s
-- evaluate: every 10s
-- wait: 1s
-- key: silence_id
-- group by: silence_id
-- summary: {author} silenced {what} until {until} UTC; quiet now: {muted} alerts, {critical} critical
-- action: Ask whoever set it whether all of that is meant. If not, end it on the Alerts page and
--     silence the one host or accelerator instead.
-- runbook: What is silenced stays open, listed and counted. The Audit page says who set it, when and
--     why; a planned outage of a facility is a good reason, a noisy rule is not.
--
-- Wide is: every rule of a facility, one rule everywhere, or 20 open alerts under one silence. This
-- alert belongs to no place and cannot be silenced itself (alerts/mutes.py), so it reaches everybody
-- who is told of anything.

select
    s.silence_id,
    'bad' as verdict,
    s.starts_at as since,
    case when q.critical > 0 then 'critical' else 'warning' end as severity,
    s.author,
    concat_ws(
        ' ',
        coalesce(replace(s.rule, '_', ' '), 'every rule'),
        coalesce('in ' || coalesce(nullif(f.display_name, ''), f.facility), 'everywhere'),
        'on host ' || h.host
    ) as what,
    to_char(s.ends_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') as until,
    q.muted,
    q.critical
from silences s
left join hosts h on h.host_id = s.host_id
left join facilities f on f.facility_id = coalesce(s.facility_id, h.facility_id)
cross join lateral (
    select
        count(*) as muted,
        count(*) filter (where a.severity = 'critical') as critical
    from alerts a
    where a.silenced_by = s.silence_id and a.state <> 'resolved'
) q
where s.starts_at <= %(now)s
    and s.ends_at > %(now)s
    and (
        q.muted >= 20
        or (
            s.host_id is null
            and s.gpu_id is null
            and (s.rule is null or s.facility_id is null)
        )
    )
