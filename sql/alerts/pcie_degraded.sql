-- An accelerator's PCIe link is narrower or slower than it can be, or reported a fatal error.
--
-- title: PCIe links degraded
-- severity: warning
-- for: 0s
-- clear: 10m
-- evaluate: every 5m
-- wait: 5s
-- key: gpu_id
-- group by: facility_id
-- inhibited by: gpu_lost, host_silent, facility_silent, pipeline_silent
-- summary: {place}: {what}
-- action: Drain the host and reboot it. A link that comes back narrow or slow again is a riser, a
--     cable or a seat: reseat the board, then make it a case for the provider.
-- runbook: Compare with the other boards behind the same switch. Several at once are the switch or
--     the host's firmware. A fatal error usually goes before Xid 79; look for it.
--
-- Width against what board and slot can do together (nvmlDeviceGetMaxPcieLinkWidth). Generation only
-- while the board is at work: idle boards slow their links down to save power. A fatal error is one
-- that PCIe itself calls so (NVML field 180), counted anew in the last seven minutes. Two readings
-- must agree on a link, since one may fall into its training; they come once or twice a minute.

with reading as (
    select
        s.gpu_id,
        s.pcie_link_width_lanes as width,
        s.pcie_link_generation as generation,
        s.pcie_fatal_errors_count as fatal,
        s.time > %(now)s - interval '150 seconds' as is_new
    from slow_samples s
    where s.time > %(now)s - interval '7 minutes'
),
link as (
    select
        r.gpu_id,
        count(*) filter (where r.is_new) as readings,
        max(r.width) filter (where r.is_new) as width,
        max(r.generation) filter (where r.is_new) as generation,
        max(r.fatal) - min(r.fatal) as fatal
    from reading r
    group by r.gpu_id
),
judged as (
    select
        l.gpu_id,
        a.host_id,
        l.fatal,
        l.width,
        l.generation,
        a.pcie_width_max_lanes as width_max,
        a.pcie_generation_max as generation_max,
        coalesce(l.fatal, 0) > 0 as broke,
        l.readings > 1 and l.width < a.pcie_width_max_lanes as narrow,
        l.readings > 1 and l.generation < a.pcie_generation_max
            and coalesce(
                s.utilization_gpu_percent[array_position(s.gpu_ids, l.gpu_id)] > 20, false
            ) as slow
    from link l
    join accelerators a on a.gpu_id = l.gpu_id and a.present
    left join host_state s on s.host_id = a.host_id
)
select
    j.gpu_id,
    j.host_id,
    h.facility_id,
    'bad' as verdict,
    case when j.broke then 'critical' else 'warning' end as severity,
    concat_ws(
        ', ',
        case when j.broke then j.fatal || ' fatal PCIe errors' end,
        case when j.narrow then 'PCIe x' || j.width || ' of x' || j.width_max end,
        case
            when j.slow then 'PCIe generation ' || j.generation || ' of ' || j.generation_max
        end
    ) as what
from judged j
join hosts h on h.host_id = j.host_id
where j.broke or j.narrow or j.slow

union all

-- Nothing read is no cure.
select
    o.gpu_id,
    o.host_id,
    o.facility_id,
    'hold' as verdict,
    o.severity,
    '' as what
from alerts o
where o.rule = %(rule)s
    and o.state <> 'resolved'
    and not exists (
        select from slow_samples s
        where s.gpu_id = o.gpu_id and s.time > %(now)s - interval '7 minutes'
    )
