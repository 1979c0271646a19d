-- The driver reported an Xid after which an accelerator must not be used as it is.
--
-- title: accelerators with a fatal Xid
-- severity: critical
-- for: 0s
-- clear: 60s
-- evaluate: on data
-- wait: 0s
-- key: host_id, gpu_id
-- group by: facility_id
-- inhibited by: facility_silent
-- summary: {place}: Xid {codes}: {meaning}
-- action: Do what the Xid's class asks for.
-- runbook: Read the accelerator's Xids of the last day from the first one on; later ones are
--     often its echo. The driver's own recovery action, where it gives one, outranks this table.
--
-- Which codes are fatal is data: alerts/xid_policy.toml, every row with its source; a code that is
-- not listed alerts as a warning. One alert an accelerator, whatever number of codes: a burst is
-- one fault (NVSentinel collapses 3 minutes of them). It is bad for an hour after the last code
-- (nobody tells of a cure) and while the driver asks for a recovery action, for a day at most;
-- and it ends early once a reading taken 2 minutes after the last code asks for none, where an
-- earlier one did. A board that does not answer now proves nothing, so its alert is held.
-- 5 fatal codes in 24 h on one accelerator are a case for the provider (NVSentinel's threshold).

with fatal as (
    select
        e.host_id,
        e.gpu_id,
        e.time,
        e.code,
        coalesce(p.severity, 'warning') as severity,
        coalesce(p.meaning, 'a code that the policy does not list') as meaning,
        coalesce(p.action, 'Look the code up, then enter it into the Xid policy.') as action
    from events e
    left join xid_policy p on p.code = e.code
    where e.kind = 'xid'
        and e.time > %(now)s - interval '24 hours'
        and (p.code is null or p.severity is not null)
),
burst as (
    select
        f.host_id,
        f.gpu_id,
        min(f.time) as since,
        max(f.time) as last_time,
        count(*) as times,
        string_agg(distinct coalesce(f.code::text, '?'), ', ') as codes,
        min(f.severity) as severity,
        (array_agg(f.meaning order by f.severity, f.time))[1] as meaning,
        (array_agg(f.action order by f.severity, f.time))[1] as action
    from fatal f
    group by f.host_id, f.gpu_id
),
now_state as (
    select
        b.*,
        h.facility_id,
        s.slow_time,
        s.received_at,
        s.recovery_action_code[array_position(s.gpu_ids, b.gpu_id)] as recovery_action_code,
        s.reader_status_code[array_position(s.gpu_ids, b.gpu_id)] as reader_status_code
    from burst b
    join hosts h on h.host_id = b.host_id
    left join host_state s on s.host_id = b.host_id
)
select
    n.host_id,
    n.gpu_id,
    n.facility_id,
    case
        when n.recovery_action_code > 0 then 'bad'
        when n.last_time > %(now)s - interval '1 hour'
            and not (
                n.recovery_action_code = 0
                and n.slow_time > n.last_time + interval '2 minutes'
                and exists (
                    select from events r
                    where r.gpu_id = n.gpu_id
                        and r.kind = 'recovery_action'
                        and r.code > 0
                        and r.time >= n.since - interval '1 minute'
                )
            ) then 'bad'
        when n.reader_status_code = 2
            or n.received_at < %(now)s - interval '90 seconds' then 'hold'
        else 'good'
    end as verdict,
    n.since,
    n.severity,
    n.codes,
    n.meaning,
    n.times,
    n.recovery_action_code,
    case
        when n.times >= 5 then
            n.action || ' It is the ' || n.times || 'th in a day: make it a case for the provider.'
        else n.action
    end as action
from now_state n
