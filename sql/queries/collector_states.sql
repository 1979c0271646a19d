-- State intervals: what an accelerator went through, apart from its samples.

-- name: open_states
-- What is not normal at the end of what is known of some hosts.
select gpu_id, subject, state
from state_intervals
where host_id = any(%(host_ids)s)
    and ended_at is null;

-- name: newest_ticks
-- Up to when the states of some hosts are known: fast ticks, slow ticks.
select host_id, time, slow_time
from host_state
where host_id = any(%(host_ids)s);

-- name: states_within
-- Accelerators of some hosts that were not normal somewhere in a span of time.
select distinct gpu_id
from state_intervals
where host_id = any(%(host_ids)s)
    and subject = %(subject)s
    and started_at < %(until_at)s
    and (ended_at is null or ended_at >= %(from_at)s);

-- name: put_state
-- A state from a time until another.
select put_state(
    %(host_id)s,
    %(gpu_id)s,
    %(subject)s,
    %(state)s,
    %(from_at)s::timestamptz,
    %(until_at)s::timestamptz,
    %(slack)s::interval
);

-- name: put_event
-- A loss or a return, unless readings of the host already go beyond it.
select put_state(
    %(host_id)s,
    %(gpu_id)s,
    'reader',
    %(state)s,
    %(from_at)s::timestamptz,
    %(until_at)s::timestamptz,
    interval '0 s'
)
where not exists (
    select from host_state
    where host_id = %(host_id)s
        and time > %(from_at)s::timestamptz
);
