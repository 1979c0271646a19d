-- What the benches ask.

-- name: stored_messages
-- Messages that all collectors together have stored.
select coalesce(sum(stored_messages), 0)::bigint
from host_marks;

-- name: backlog_left
-- Messages that waited when the collectors started and are not stored: of the spans left behind, or,
-- in one lane, of those that were sent.
select greatest(
    coalesce((
        select sum(upper(span) - lower(span))
        from stream_offsets
        cross join lateral unnest(backlog) as span
    ), 0),
    %(wanted)s - coalesce((select sum(stored_messages) from host_marks), 0)
)::bigint;

-- name: newest_of_all
-- The newest tick stored of each host.
select host_id, extract(epoch from time)::float8
from host_state
where time is not null;

-- name: newest_of
-- The newest tick stored of each host of a facility.
select extract(epoch from s.time)::float8
from host_state s
join hosts h using (host_id)
join facilities f using (facility_id)
where f.facility = %(facility)s
    and s.time is not null;

-- name: make_facilities
-- Facilities of one tenant, with a share of the accelerators each.
insert into facilities (tenant, facility, display_name, provider, region, contracted_accelerators)
select 'bench', 'site-' || n, 'Site ' || n, 'bench', 'nowhere', %(gpus)s::integer / %(facilities)s::integer
from generate_series(1, %(facilities)s::integer) n;

-- name: make_racks
-- Racks, as many in each facility, in four halls.
insert into racks (facility_id, hall, row, rack)
select f.facility_id, 'hall ' || n %% 4, 'row ' || n / 4 %% 20, 'rack ' || lpad(n::text, 5, '0')
from facilities f
cross join generate_series(1, %(racks_each)s::integer) n
where f.tenant = 'bench';

-- name: make_hosts
-- Hosts, as many in each rack; each sends its inventory once an hour, at a time of its own.
insert into hosts (facility_id, rack_id, host, tray, agent_version, inventory_time)
select
    r.facility_id,
    r.rack_id,
    'node-' || r.rack_id || '-' || n,
    n::text,
    'bench',
    now() - random() * interval '1 hour'
from racks r
join facilities f using (facility_id)
cross join generate_series(1, %(hosts_each)s::integer) n
where f.tenant = 'bench';

-- name: make_accelerators
-- Eight accelerators in each host.
insert into accelerators (
    host_id,
    uuid,
    index,
    model,
    serial,
    temperature_slowdown_celsius,
    inventory_time
)
select
    h.host_id,
    md5(h.host_id || '/' || n)::uuid,
    n,
    'NVIDIA H100 80GB HBM3',
    'S' || h.host_id * 8 + n,
    90,
    now()
from hosts h
join facilities f using (facility_id)
cross join generate_series(0, 7) n
where f.tenant = 'bench';

-- name: make_agents
-- A heartbeat of each host.
insert into agent_state (
    host_id,
    time,
    boot_epoch,
    agent_version,
    sample_interval_ms,
    tick_duration_us,
    spool_messages,
    spool_bytes,
    resident_bytes
)
select h.host_id, now(), 1, 'bench', 1000, 5000, 0, 0, 40000000
from hosts h
join facilities f using (facility_id)
where f.tenant = 'bench';

-- name: make_states
-- A first reading of every accelerator.
insert into host_state (
    host_id,
    time,
    slow_time,
    boot_epoch,
    seq,
    gpu_ids,
    utilization_gpu_percent,
    memory_used_mebibytes,
    temperature_gpu_celsius,
    temperature_memory_celsius,
    temperature_margin_celsius,
    power_milliwatts,
    clock_sm_megahertz,
    clock_event_reasons_bitmask,
    sm_active_permille,
    tensor_active_permille,
    reader_status_code,
    power_limit_milliwatts,
    ecc_uncorrected_volatile_count,
    remap_pending_flag,
    remap_failed_flag,
    nvlink_active_links_count,
    recovery_action_code,
    processes_count
)
select
    a.host_id,
    now(),
    now(),
    1,
    1,
    array_agg(a.gpu_id order by a.index),
    array_agg((random() * 100)::smallint),
    array_agg((52000 + random() * 28000)::integer),
    array_agg((45 + random() * 35)::smallint),
    array_agg((50 + random() * 40)::smallint),
    array_agg((5 + random() * 40)::smallint),
    array_agg((90000 + random() * 610000)::integer),
    array_agg((1400 + random() * 580)::smallint),
    array_agg(0),
    array_agg((random() * 1000)::smallint),
    array_agg((random() * 600)::smallint),
    array_agg((case when random() < 0.0005 then 2 else 0 end)::smallint),
    array_agg(700000),
    array_agg(0::bigint),
    array_agg((case when random() < 0.001 then 1 else 0 end)::smallint),
    array_agg(0::smallint),
    array_agg(18::smallint),
    array_agg(0::smallint),
    array_agg(1::smallint)
from accelerators a
join hosts h using (host_id)
join facilities f using (facility_id)
where f.tenant = 'bench'
group by a.host_id;

-- name: move_states
-- A new reading of one part of the hosts, as a second brings where messages leave every ten; one
-- host in 200 has fallen silent.
update host_state
set
    time = clock_timestamp(),
    received_at = clock_timestamp(),
    seq = seq + 1,
    utilization_gpu_percent = array(select (random() * 100)::smallint from unnest(gpu_ids)),
    sm_active_permille = array(select (random() * 1000)::smallint from unnest(gpu_ids)),
    temperature_gpu_celsius = array(select (45 + random() * 35)::smallint from unnest(gpu_ids)),
    power_milliwatts = array(select (90000 + random() * 610000)::integer from unnest(gpu_ids))
where host_id %% %(parts)s = %(part)s
    and host_id %% 200 <> 7;

-- name: make_facility_rollup
-- Sums of every facility by 10 s: in the order of the columns, as the next two.
insert into facility_rollup_10s
select
    b.bucket,
    b.facility_id,
    b.rows,
    (b.rows * random() / 100)::bigint,
    (b.rows * (80 + 20 * (random() - 0.5)))::bigint,
    b.rows::integer,
    60,
    100,
    (b.rows * (60000 + 8000 * (random() - 0.5)))::bigint,
    b.rows::integer,
    52000,
    68000,
    (b.rows * (62 + 12 * (random() - 0.5)))::bigint,
    b.rows::integer,
    50,
    74,
    (b.rows * (70 + 12 * (random() - 0.5)))::bigint,
    b.rows::integer,
    58,
    82,
    (b.rows * (25 + 12 * (random() - 0.5)))::bigint,
    b.rows::integer,
    13,
    37,
    (b.rows * (550000 + 80000 * (random() - 0.5)))::bigint,
    b.rows::integer,
    470000,
    630000,
    (b.rows * (1755 + 60 * (random() - 0.5)))::bigint,
    b.rows::integer,
    1695,
    1815,
    (b.rows * (700 + 150 * (random() - 0.5)))::bigint,
    b.rows::integer,
    550,
    850,
    (b.rows * (350 + 150 * (random() - 0.5)))::bigint,
    b.rows::integer,
    200,
    500
from (
    select t.bucket, f.facility_id, 10 * f.contracted_accelerators::bigint as rows
    from generate_series(
        date_bin('10 s', %(start)s::timestamptz, 'epoch'),
        %(end)s::timestamptz - interval '10 s',
        interval '10 s'
    ) as t (bucket)
    cross join facilities f
    where f.tenant = 'bench'
) b
on conflict do nothing;

-- name: make_rack_rollup
-- Sums of every rack by minute.
insert into rack_rollup_1m
select
    b.bucket,
    b.rack_id,
    b.rows,
    (b.rows * random() / 100)::bigint,
    (b.rows * (80 + 20 * (random() - 0.5)))::bigint,
    b.rows::integer,
    60,
    100,
    (b.rows * (60000 + 8000 * (random() - 0.5)))::bigint,
    b.rows::integer,
    52000,
    68000,
    (b.rows * (62 + 12 * (random() - 0.5)))::bigint,
    b.rows::integer,
    50,
    74,
    (b.rows * (70 + 12 * (random() - 0.5)))::bigint,
    b.rows::integer,
    58,
    82,
    (b.rows * (25 + 12 * (random() - 0.5)))::bigint,
    b.rows::integer,
    13,
    37,
    (b.rows * (550000 + 80000 * (random() - 0.5)))::bigint,
    b.rows::integer,
    470000,
    630000,
    (b.rows * (1755 + 60 * (random() - 0.5)))::bigint,
    b.rows::integer,
    1695,
    1815,
    (b.rows * (700 + 150 * (random() - 0.5)))::bigint,
    b.rows::integer,
    550,
    850,
    (b.rows * (350 + 150 * (random() - 0.5)))::bigint,
    b.rows::integer,
    200,
    500
from (
    select t.bucket, r.rack_id, 60 * 8 * %(hosts_each)s::bigint as rows
    from generate_series(
        date_bin('1 min', %(start)s::timestamptz, 'epoch'),
        %(end)s::timestamptz - interval '1 min',
        interval '1 min'
    ) as t (bucket)
    cross join racks r
    join facilities f using (facility_id)
    where f.tenant = 'bench'
) b
on conflict do nothing;

-- name: make_gpu_rollup
-- Sums of the first accelerators by minute, an hour after the other, as they are moved.
insert into gpu_rollup_1m
select
    t.bucket,
    g.gpu_id,
    60,
    0,
    0,
    0,
    (60 * (80 + 20 * (random() - 0.5)))::integer,
    60,
    60,
    100,
    (60 * (60000 + 8000 * (random() - 0.5)))::bigint,
    60,
    52000,
    68000,
    (60 * (62 + 12 * (random() - 0.5)))::integer,
    60,
    50,
    74,
    (60 * (70 + 12 * (random() - 0.5)))::integer,
    60,
    58,
    82,
    (60 * (25 + 12 * (random() - 0.5)))::integer,
    60,
    13,
    37,
    (60 * (550000 + 80000 * (random() - 0.5)))::bigint,
    60,
    470000,
    630000,
    (60 * (1755 + 60 * (random() - 0.5)))::integer,
    60,
    1695,
    1815,
    (60 * (700 + 150 * (random() - 0.5)))::integer,
    60,
    550,
    850,
    (60 * (350 + 150 * (random() - 0.5)))::integer,
    60,
    200,
    500
from generate_series(
    date_bin('1 min', %(start)s::timestamptz, 'epoch'),
    %(end)s::timestamptz - interval '1 min',
    interval '1 min'
) as t (bucket)
cross join (select gpu_id from accelerators order by gpu_id limit %(raw_gpus)s) g
order by date_bin('1 hour', t.bucket, 'epoch'::timestamptz), g.gpu_id, t.bucket;

-- name: touch_rollups
-- Every step of a span, as batches would have touched it.
insert into rollup_touched (step_s, bucket, facility_id)
select s.step_s, t.bucket, f.facility_id
from (values (300), (3600)) as s (step_s)
cross join lateral generate_series(
    date_bin(make_interval(secs => s.step_s), %(start)s::timestamptz, 'epoch'),
    %(end)s::timestamptz,
    make_interval(secs => s.step_s)
) as t (bucket)
cross join facilities f
where f.tenant = 'bench';

-- name: make_events
-- Xids at random: so many an accelerator and day, most of them on few accelerators.
insert into events (time, host_id, gpu_id, kind, code, message, boot_epoch, seq, position)
select
    %(start)s::timestamptz + random() * (%(end)s::timestamptz - %(start)s::timestamptz),
    a.host_id,
    a.gpu_id,
    'xid',
    (array[13, 31, 43, 45, 63, 74, 79, 94])[1 + floor(random() * 8)::integer],
    'bench',
    1,
    n,
    0
from generate_series(1, %(events)s::integer) n
cross join lateral (
    select min(gpu_id) + floor(power(random(), 3) * (max(gpu_id) - min(gpu_id)))::integer + 0 * n as gpu_id
    from accelerators
) chosen
join accelerators a using (gpu_id);

-- name: make_samples
-- Raw readings of the first accelerators, once a second.
insert into samples (
    time,
    gpu_id,
    utilization_gpu_percent,
    memory_used_mebibytes,
    temperature_gpu_celsius,
    temperature_memory_celsius,
    temperature_margin_celsius,
    power_milliwatts,
    clock_sm_megahertz,
    sm_active_permille,
    tensor_active_permille,
    reader_status_code
)
select
    t.time,
    g.gpu_id,
    random() * 100,
    52000 + random() * 28000,
    45 + random() * 35,
    50 + random() * 40,
    5 + random() * 40,
    90000 + random() * 610000,
    1400 + random() * 580,
    random() * 1000,
    random() * 600,
    0
from generate_series(%(start)s::timestamptz, %(end)s::timestamptz, interval '1 s') as t (time)
cross join (select gpu_id from accelerators order by gpu_id limit %(raw_gpus)s) g;

-- name: hottest
-- The 50 hottest accelerators now.
select s.host_id, u.gpu_id, u.celsius
from host_state s
cross join lateral unnest(s.gpu_ids, s.temperature_gpu_celsius) as u (gpu_id, celsius)
where u.celsius is not null
order by u.celsius desc
limit 50;

-- name: middle_gpu
-- One of the accelerators that have raw readings.
select min(gpu_id) + %(raw_gpus)s / 2
from accelerators;

-- name: host_of
-- The host of an accelerator.
select host_id
from accelerators
where gpu_id = %(gpu_id)s;

-- name: gpus_of
-- The accelerators of a host.
select array_agg(gpu_id order by index)
from accelerators
where host_id = %(host_id)s;

-- name: some_facility
-- One of the facilities.
select min(facility_id)
from facilities
where tenant = 'bench';

-- name: sizes
-- Mebibytes of the tables that grow, indexes included; partitions count to their table.
select c.relname, round(sum(pg_total_relation_size(coalesce(i.inhrelid, c.oid))) / 1048576.0)::integer
from pg_class c
left join pg_inherits i on i.inhparent = c.oid
where c.relname in (
    'samples', 'facility_rollup_10s', 'rack_rollup_1m', 'gpu_rollup_1m', 'events', 'host_state'
)
group by c.relname;

-- name: has_messages
-- A row once so many messages of a facility are stored.
select 1
from host_marks m
join hosts h using (host_id)
join facilities f using (facility_id)
where f.facility = %(facility)s
having sum(m.stored_messages) >= %(messages)s;

-- name: sample_rows
-- Fast samples.
select count(*)
from samples;

-- name: sample_bytes
-- Bytes of the fast samples with their indexes, partitions and chunks included, compressed or not.
select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
from pg_class c
where c.relkind = 'r'
    and (
        c.oid in (select inhrelid from pg_inherits where inhparent = 'samples'::regclass)
        -- TimescaleDB before 2.30 does not say in a name whose columns these are; then the slow
        -- samples count too.
        or c.relname like 'compress\_hyper\_%%chunk'
        or c.relname in (
            select p.relname || '_compressed'
            from pg_inherits i
            join pg_class p on p.oid = i.inhrelid
            where i.inhparent = 'samples'::regclass
        )
    );

-- name: collector_works
-- A row once a collector has found everything that it needs.
select 1
from collectors
where waiting_for is null
limit 1;

-- name: some_rack
-- One of the racks.
select min(rack_id)
from racks;

-- name: noisy_facilities
-- The two facilities of the ingest bench.
insert into facilities (tenant, facility)
select 'bench', 'site-' || n
from generate_series(1, 2) n
on conflict do nothing;

-- name: noisy_racks
-- Racks of eight hosts, and the nameless one that every facility has.
insert into racks (facility_id, rack)
select f.facility_id, case when n > 0 then 'rack ' || n else '' end
from facilities f
cross join generate_series(0, %(hosts)s::integer / 16 + 1) n
where f.tenant = 'bench'
on conflict do nothing;

-- name: noisy_hosts
-- Its hosts, in turn in one facility and the other.
insert into hosts (facility_id, rack_id, host)
select f.facility_id, r.rack_id, 'node-' || lpad(n::text, 6, '0')
from generate_series(0, %(hosts)s::integer - 1) n
join facilities f on f.tenant = 'bench'
    and f.facility = 'site-' || n %% 2 + 1
join racks r on r.facility_id = f.facility_id
    and r.rack = 'rack ' || 1 + n / 16
on conflict do nothing;

-- name: noisy_gpu
-- An accelerator of the ingest bench, with its host and its facility.
select a.gpu_id, a.host_id, h.facility_id
from accelerators a
join hosts h using (host_id)
where h.host = 'node-000002'
order by a.gpu_id
limit 1;

-- name: made
-- What an earlier run has made: accelerators, days of rollups, and when those end; nothing if none has.
select
    (select count(*) from accelerators)::integer,
    round(extract(epoch from max(bucket) - min(bucket)) / 86400)::integer,
    max(bucket) + interval '10 s'
from facility_rollup_10s
having count(*) > 0;
