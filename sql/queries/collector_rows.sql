-- name: store_events
-- What happened, all of a batch at once, since a trigger counts faults after each statement. The marks
-- keep repeats out; the key is a second line.
insert into events (
    time,
    host_id,
    gpu_id,
    kind,
    code,
    message,
    detail,
    boot_epoch,
    seq,
    position
)
select *
from unnest(
    %(time)s::timestamptz[],
    %(host_id)s::integer[],
    %(gpu_id)s::integer[],
    %(kind)s::text[],
    %(code)s::bigint[],
    %(message)s::text[],
    %(detail)s::jsonb[],
    %(boot_epoch)s::bigint[],
    %(seq)s::bigint[],
    %(position)s::smallint[]
);

-- name: store_heartbeat
-- An agent about itself; newest wins.
insert into agent_state (
    host_id,
    time,
    boot_epoch,
    agent_version,
    sample_interval_ms,
    tick_duration_us,
    spool_messages,
    spool_bytes,
    spool_oldest,
    resident_bytes,
    counters,
    signed
)
values (
    %(host_id)s,
    %(time)s,
    %(boot_epoch)s,
    %(agent_version)s,
    %(sample_interval_ms)s,
    %(tick_duration_us)s,
    %(spool_messages)s,
    %(spool_bytes)s,
    %(spool_oldest)s,
    %(resident_bytes)s,
    %(counters)s,
    %(signed)s
)
on conflict (host_id) do update
set
    time = excluded.time,
    boot_epoch = excluded.boot_epoch,
    agent_version = excluded.agent_version,
    sample_interval_ms = excluded.sample_interval_ms,
    tick_duration_us = excluded.tick_duration_us,
    spool_messages = excluded.spool_messages,
    spool_bytes = excluded.spool_bytes,
    spool_oldest = excluded.spool_oldest,
    resident_bytes = excluded.resident_bytes,
    counters = excluded.counters,
    signed = excluded.signed
where agent_state.boot_epoch < excluded.boot_epoch
    or (agent_state.boot_epoch = excluded.boot_epoch and agent_state.time <= excluded.time);

-- name: merge_workloads
-- What holds the accelerators of a host, all of it: what is no longer told has ended, what is new
-- has begun. A telling that is older than the newest changes nothing here.
with told as (
    select *
    from jsonb_to_recordset(%(rows)s::jsonb) as r (
        gpu_id integer,
        source text,
        job text,
        step text,
        namespace text,
        user_name text,
        started_at timestamptz,
        processes bigint,
        memory_mebibytes bigint
    )
    where not exists (
        select
        from workload_intervals n
        where n.host_id = %(host_id)s
            and greatest(n.seen_at, n.ended_at) > %(time)s
    )
),
believed as (
    select not exists (
        select
        from workload_intervals n
        where n.host_id = %(host_id)s
            and greatest(n.seen_at, n.ended_at) > %(time)s
    ) as newest
),
ended as (
    update workload_intervals w
    set ended_at = %(time)s
    from believed b
    where b.newest
        and w.host_id = %(host_id)s
        and w.ended_at is null
        and not exists (
            select
            from told t
            where t.gpu_id = w.gpu_id
                and t.source = w.source
                and t.job = w.job
                and t.step = w.step
        )
),
kept as (
    update workload_intervals w
    set
        seen_at = %(time)s,
        processes = t.processes,
        memory_mebibytes = t.memory_mebibytes
    from told t
    where w.host_id = %(host_id)s
        and w.ended_at is null
        and t.gpu_id = w.gpu_id
        and t.source = w.source
        and t.job = w.job
        and t.step = w.step
    returning w.gpu_id, w.source, w.job, w.step
)
insert into workload_intervals (
    host_id,
    gpu_id,
    source,
    job,
    step,
    namespace,
    user_name,
    started_at,
    seen_at,
    processes,
    memory_mebibytes
)
select
    %(host_id)s,
    t.gpu_id,
    t.source,
    t.job,
    t.step,
    t.namespace,
    t.user_name,
    least(t.started_at, %(time)s),
    %(time)s,
    t.processes,
    t.memory_mebibytes
from told t
where not exists (
    select
    from kept k
    where k.gpu_id = t.gpu_id
        and k.source = t.source
        and k.job = t.job
        and k.step = t.step
);

-- name: merge_late_workloads
-- A telling that is older than the newest, from a backlog that is read in its own order: work that it
-- tells and nobody knows has an interval that ends with it, and goes on with the next that tells it;
-- what it does not tell any more has ended then at the latest.
with told as (
    select *
    from jsonb_to_recordset(%(rows)s::jsonb) as r (
        gpu_id integer,
        source text,
        job text,
        step text,
        namespace text,
        user_name text,
        started_at timestamptz,
        processes bigint,
        memory_mebibytes bigint
    )
),
late as (
    select exists (
        select
        from workload_intervals n
        where n.host_id = %(host_id)s
            and greatest(n.seen_at, n.ended_at) > %(time)s
    ) as is_late
),
around as (
    -- An end at which it was seen is only the last that is known so far.
    select
        w.ctid,
        w.ended_at = w.seen_at as is_open,
        t.gpu_id is not null as is_told
    from late l
    join workload_intervals w on l.is_late
        and w.host_id = %(host_id)s
        and w.started_at <= %(time)s
        and w.seen_at < %(time)s
        and (w.ended_at > %(time)s or w.ended_at = w.seen_at)
    left join told t using (gpu_id, source, job, step)
),
moved as (
    update workload_intervals w
    set
        seen_at = case when a.is_told then %(time)s else w.seen_at end,
        ended_at = case when a.is_open or not a.is_told then %(time)s else w.ended_at end
    from around a
    where w.ctid = a.ctid
    returning w.gpu_id, w.source, w.job, w.step, a.is_told
)
insert into workload_intervals (
    host_id,
    gpu_id,
    source,
    job,
    step,
    namespace,
    user_name,
    started_at,
    seen_at,
    ended_at,
    processes,
    memory_mebibytes
)
select
    %(host_id)s,
    t.gpu_id,
    t.source,
    t.job,
    t.step,
    t.namespace,
    t.user_name,
    least(t.started_at, %(time)s),
    %(time)s,
    %(time)s,
    t.processes,
    t.memory_mebibytes
from told t
join late l on l.is_late
where not exists (
    select
    from moved m
    where m.is_told
        and m.gpu_id = t.gpu_id
        and m.source = t.source
        and m.job = t.job
        and m.step = t.step
)
and not exists (
    select
    from workload_intervals w
    where w.host_id = %(host_id)s
        and w.gpu_id = t.gpu_id
        and w.source = t.source
        and w.job = t.job
        and w.step = t.step
        and w.started_at <= %(time)s
        and coalesce(w.ended_at, 'infinity') >= %(time)s
);

-- name: store_queue_sample
-- A queue snapshot as it came.
insert into queue_samples (
    time,
    facility_id,
    host_id,
    source,
    queue,
    unit,
    waiting,
    running,
    gpus_waiting,
    gpus_running,
    gpu_seconds_waiting,
    oldest_wait_seconds,
    wait_milliseconds,
    arrivals_per_second,
    completions_per_second
)
values (
    %(time)s,
    %(facility_id)s,
    %(host_id)s,
    %(source)s,
    %(queue)s,
    %(unit)s,
    %(waiting)s,
    %(running)s,
    %(gpus_waiting)s,
    %(gpus_running)s,
    %(gpu_seconds_waiting)s,
    %(oldest_wait_seconds)s,
    %(wait_milliseconds)s,
    %(arrivals_per_second)s,
    %(completions_per_second)s
);

-- name: merge_queue_state
-- The newest snapshot of a queue.
insert into queue_state (
    time,
    facility_id,
    source,
    queue,
    unit,
    waiting,
    running,
    gpus_waiting,
    gpus_running,
    gpu_seconds_waiting,
    oldest_wait_seconds,
    wait_milliseconds,
    arrivals_per_second,
    completions_per_second
)
values (
    %(time)s,
    %(facility_id)s,
    %(source)s,
    %(queue)s,
    %(unit)s,
    %(waiting)s,
    %(running)s,
    %(gpus_waiting)s,
    %(gpus_running)s,
    %(gpu_seconds_waiting)s,
    %(oldest_wait_seconds)s,
    %(wait_milliseconds)s,
    %(arrivals_per_second)s,
    %(completions_per_second)s
)
on conflict (facility_id, source, queue) do update
set
    time = excluded.time,
    unit = excluded.unit,
    waiting = excluded.waiting,
    running = excluded.running,
    gpus_waiting = excluded.gpus_waiting,
    gpus_running = excluded.gpus_running,
    gpu_seconds_waiting = excluded.gpu_seconds_waiting,
    oldest_wait_seconds = excluded.oldest_wait_seconds,
    wait_milliseconds = excluded.wait_milliseconds,
    arrivals_per_second = excluded.arrivals_per_second,
    completions_per_second = excluded.completions_per_second
where queue_state.time <= excluded.time;

-- name: tell
-- Wake those who wait for new data; sent once a commit.
select pg_notify('fleetgauge_stored', %(payload)s);
