-- An accelerator no longer answers its driver, or its host came back without it.
--
-- title: accelerators lost
-- severity: critical
-- for: 0s
-- clear: 60s
-- evaluate: on data
-- wait: 1s
-- key: gpu_id
-- group by: facility_id
-- inhibited by: host_silent, facility_silent, pipeline_silent
-- summary: {place} {reason}
-- action: Drain the host and reboot it. If the accelerator stays away, open a ticket with its
--     serial and the Xids before the loss.
-- runbook: Look for Xid 79 or 154 on the same accelerator, then for losses in the same tray or
--     rack: several at once point at power, not at the boards.
--
-- reader_status_code 2 is "lost" (telemetry/records.py). The event leaves the host at once, the
-- status only with the next message, so an event newer than the state counts as well. A loss is
-- believed until a later reading says otherwise; silence of the host proves nothing.

with said as (
    select distinct on (e.gpu_id)
        e.gpu_id,
        e.kind,
        e.time
    from events e
    where e.time > %(now)s - interval '10 minutes'
        and e.kind in ('gpu_lost', 'gpu_back')
        and e.gpu_id is not null
    order by e.gpu_id, e.time desc, e.boot_epoch desc, e.seq desc, e.position desc
),
state as (
    select
        s.host_id,
        s.time,
        g.gpu_id,
        g.status
    from host_state s
    cross join lateral unnest(s.gpu_ids, s.reader_status_code) as g (gpu_id, status)
    where 2 = any (s.reader_status_code)
        or s.host_id in (
            select a.host_id
            from alerts a
            where a.rule = %(rule)s and a.state <> 'resolved'
        )
),
doubtful as (
    select
        state.gpu_id,
        case when state.status = 2 then 'bad' else 'hold' end as verdict,
        'no longer answers its driver' as reason,
        null::timestamptz as since
    from state
    left join said on said.gpu_id = state.gpu_id and said.time > state.time
    where (state.status = 2 or state.status is null)
        and said.kind is distinct from 'gpu_back'
    union all
    select
        said.gpu_id,
        'bad',
        'no longer answers its driver',
        said.time
    from said
    join accelerators c on c.gpu_id = said.gpu_id
    left join host_state s on s.host_id = c.host_id
    where said.kind = 'gpu_lost'
        and (s.time is null or s.time < said.time)
    union all
    select
        c.gpu_id,
        'bad',
        'is missing from its host''s inventory',
        c.inventory_time
    from accelerators c
    where not c.present
        and c.parent_uuid is null
        and not exists (
            select from accelerators other
            where other.host_id = c.host_id
                and other.present
                and other.pci_address = c.pci_address
        )
)
select
    d.gpu_id,
    c.host_id,
    h.facility_id,
    min(d.verdict) as verdict,
    min(d.reason) as reason,
    min(d.since) as since
from doubtful d
join accelerators c on c.gpu_id = d.gpu_id
join hosts h on h.host_id = c.host_id
group by d.gpu_id, c.host_id, h.facility_id
