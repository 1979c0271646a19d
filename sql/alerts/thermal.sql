-- An accelerator is so hot that its hardware slows it down, or is about to.
--
-- title: accelerators too hot
-- severity: warning
-- for: 20s
-- clear: 2m
-- evaluate: every 10s
-- wait: 5s
-- key: gpu_id
-- group by: facility_id
-- inhibited by: gpu_lost, host_silent, facility_silent, pipeline_silent
-- summary: {place} is too hot: {temperature}, headroom {headroom}{slowdown}
-- action: Compare with its neighbours. One hot board: dust, seating or a cold plate, so drain the
--     host. A whole rack: call the building about its coolant or air now.
-- runbook: Open the rack and look at inlet and neighbours. Hardware slowdown protects the board;
--     the next step is a shutdown, which takes the job with it.
--
-- Headroom is nvmlDeviceGetMarginTemperature: degrees left before the hardware slows down, so 0 and
-- less is bad; critical below -2, the slowdown offset of H100 and GB200 (T.Limit fields 193 and
-- 194, -3 on B200), which NVSentinel counts as fatal. 0x40 is NVML's hardware thermal slowdown;
-- nvidia_gpu_exporter's rule asks for the same bit. Between 0 and 3 degrees an alert stays as it is.

with gpu as (
    select
        s.host_id,
        s.received_at,
        g.gpu_id,
        g.margin,
        g.celsius,
        g.status,
        coalesce(g.reasons, 0) & 64 <> 0 as slowed
    from host_state s
    cross join lateral unnest(
        s.gpu_ids,
        s.temperature_margin_celsius,
        s.temperature_gpu_celsius,
        s.clock_event_reasons_bitmask,
        s.reader_status_code
    ) as g (gpu_id, margin, celsius, reasons, status)
),
judged as (
    select
        gpu.*,
        case
            when gpu.received_at < %(now)s - interval '90 seconds' or gpu.status = 2 then 'hold'
            when gpu.margin <= 0 or gpu.slowed then 'bad'
            when gpu.margin <= 3 then 'hold'
            when gpu.margin is null and gpu.celsius is null then 'hold'
        end as verdict
    from gpu
)
select
    j.gpu_id,
    j.host_id,
    h.facility_id,
    j.verdict,
    case when j.margin < -2 then 'critical' else 'warning' end as severity,
    coalesce(j.celsius || ' °C', 'temperature unknown') as temperature,
    coalesce(j.margin || ' °C', 'unknown') as headroom,
    case when j.slowed then ', slowed down by its hardware' else '' end as slowdown
from judged j
join hosts h on h.host_id = j.host_id
where j.verdict = 'bad'
    or (
        j.verdict = 'hold'
        and j.gpu_id in (
            select a.gpu_id
            from alerts a
            where a.rule = %(rule)s and a.state <> 'resolved'
        )
    )
