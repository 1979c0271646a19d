-- What happened, and what waited. Locks nothing: all tables are new.

create table events (
    time timestamptz not null,
    host_id integer not null references hosts,
    gpu_id integer references accelerators,
    kind text not null,
    code bigint,
    message text not null default '',
    detail jsonb not null default '{}',
    boot_epoch bigint not null,
    seq bigint not null,
    position smallint not null,
    stored_at timestamptz not null default now(),
    primary key (host_id, boot_epoch, seq, position)
);
create index events_time on events (time);
create index events_gpu on events (gpu_id, time) where gpu_id is not null;
create index events_stored on events (stored_at);

create table queue_samples (
    time timestamptz not null,
    facility_id integer not null references facilities,
    host_id integer not null references hosts,
    source text not null,
    queue text not null,
    unit text not null,
    waiting double precision,
    running double precision,
    gpus_waiting double precision,
    gpus_running double precision,
    gpu_seconds_waiting double precision,
    oldest_wait_seconds double precision,
    wait_milliseconds double precision,
    arrivals_per_second double precision,
    completions_per_second double precision
);
comment on table queue_samples is 'queue snapshots as they came; repeats are kept out by host_marks';
create index queue_samples_facility on queue_samples (facility_id, time);

create table state_intervals (
    host_id integer not null references hosts,
    gpu_id integer references accelerators,
    subject text not null,
    state text not null,
    reason text not null default '',
    started_at timestamptz not null,
    ended_at timestamptz,
    unique nulls not distinct (host_id, gpu_id, subject, started_at)
);
comment on table state_intervals is 'what was true from when to when: subject is health, reader or driver; an open interval has no end';
create index state_intervals_open on state_intervals (host_id) where ended_at is null;
