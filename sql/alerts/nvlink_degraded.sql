-- An accelerator has fewer NVLinks than it was seated with, or they fail to recover or carry errors.
--
-- title: NVLinks degraded
-- severity: warning
-- for: 0s
-- clear: 10m
-- evaluate: every 5m
-- wait: 5s
-- key: gpu_id
-- group by: facility_id
-- inhibited by: gpu_lost, host_silent, facility_silent, pipeline_silent
-- summary: {place}: {what}
-- action: Drain the host. Reset its GPUs; a link that stays down or goes on making errors is a case
--     for the provider, with the serial and the other end of the link.
-- runbook: Look for Xid 74 or 144 to 150 on the same board and for SXids of the host: they name the
--     link. Many boards of one rack at once point at a switch tray or a cable cartridge.
--
-- A link that is down costs the whole board's collectives, so it is critical. The error rate after
-- correction (NVML field 220, "effective") should be far below 10^-12; that is the bound from which
-- NVIDIA's ibdiagnet reports a link of its fabrics, and no bound of NVLink's own is published. Rates
-- are read as a hundred times the exponent, less is worse. A recovery that failed (field 214) took its
-- link down; only failures of the last seven minutes count. Two readings must agree on a link.

with reading as (
    select
        s.gpu_id,
        s.nvlink_active_links_count as active,
        s.nvlink_effective_ber_exponent_hundredths as exponent,
        s.nvlink_recovery_failures_count as failures,
        s.time > %(now)s - interval '150 seconds' as is_new
    from slow_samples s
    where s.time > %(now)s - interval '7 minutes'
),
links as (
    select
        r.gpu_id,
        count(*) filter (where r.is_new) as readings,
        max(r.active) filter (where r.is_new) as active,
        max(r.exponent) filter (where r.is_new) as exponent,
        max(r.failures) - min(r.failures) as failures
    from reading r
    group by r.gpu_id
),
judged as (
    select
        l.gpu_id,
        a.host_id,
        l.active,
        l.failures,
        l.exponent / 100.0 as exponent,
        a.nvlinks_count,
        l.readings > 1 and l.active < a.nvlinks_count as fewer,
        coalesce(l.failures, 0) > 0 as failed,
        -- No bit at all gives no rate: the driver then says 0.
        l.readings > 1 and l.exponent > 0 and l.exponent < 1200 as noisy
    from links l
    join accelerators a on a.gpu_id = l.gpu_id and a.present
)
select
    j.gpu_id,
    j.host_id,
    h.facility_id,
    'bad' as verdict,
    case when j.fewer or j.failed then 'critical' else 'warning' end as severity,
    concat_ws(
        ', ',
        case when j.fewer then j.active || ' of ' || j.nvlinks_count || ' NVLinks are up' end,
        case when j.failed then j.failures || ' failed NVLink recoveries' end,
        case when j.noisy then 'NVLink bit error rate 10^-' || round(j.exponent, 1) end
    ) as what
from judged j
join hosts h on h.host_id = j.host_id
where j.fewer or j.failed or j.noisy

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
