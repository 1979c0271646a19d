-- Which work held which accelerator since when, as the agents see it. Locks nothing: the table is
-- new. It has names of jobs and people in it, so a landlord sees none of it.

create table workload_intervals (
    host_id integer not null references hosts,
    gpu_id integer not null references accelerators,
    source text not null,
    job text not null,
    step text not null default '',
    namespace text not null default '',
    user_name text not null default '',
    started_at timestamptz not null,
    seen_at timestamptz not null,
    ended_at timestamptz,
    processes bigint not null,
    memory_mebibytes bigint not null
);
comment on table workload_intervals is 'source is slurm, kubernetes, container or systemd; job is a Slurm job, the UID of a pod, a container or a unit; an open interval has no end';
create unique index workload_intervals_open on workload_intervals (host_id, gpu_id, source, job, step) where ended_at is null;
create index workload_intervals_gpu on workload_intervals (gpu_id, started_at);
create index workload_intervals_job on workload_intervals (source, job);

select let_dashboard_read(
    'workload_intervals',
    format('(select sees_names()) and (%s)', visibility('workload_intervals'))
);
