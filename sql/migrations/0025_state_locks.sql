-- One lock for 64 neighbouring accelerators instead of one for each: where a whole site slows down at
-- once, a batch took more locks than the server has room for, and could never be stored. Neighbours
-- follow each other, so locks are still taken in order. Locks nothing.

create or replace function put_state(
    host integer,
    gpu integer,
    told_subject text,
    told_state text,
    from_at timestamptz,
    until_at timestamptz,
    slack interval
)
returns void
language plpgsql
as $$
declare
    joined_from timestamptz := from_at;
    joined_until timestamptz;
begin
    -- An event and a reading of one accelerator may be stored by two collectors at once.
    perform pg_advisory_xact_lock(hashtext('fleetgauge state'), gpu / 64);
    -- Clocks are no better than that: a change so near is the same change.
    until_at := coalesce((
        select min(edge)
        from state_intervals i
        cross join lateral (values (i.started_at), (i.ended_at)) as e (edge)
        where i.gpu_id = gpu
            and i.subject = told_subject
            and edge >= until_at
            and edge < until_at + slack
    ), until_at);
    if exists (
        select from state_intervals i
        where i.gpu_id = gpu
            and i.subject = told_subject
            and i.state = told_state
            and i.started_at <= from_at
            and coalesce(i.ended_at, 'infinity') >= coalesce(until_at, 'infinity')
    ) then
        return;
    end if;
    -- What lies over the end goes on after it; what lies over the start ends there.
    insert into state_intervals (host_id, gpu_id, subject, state, reason, started_at, ended_at)
    select i.host_id, i.gpu_id, i.subject, i.state, i.reason, until_at, i.ended_at
    from state_intervals i
    where i.gpu_id = gpu
        and i.subject = told_subject
        and i.started_at < until_at
        and coalesce(i.ended_at, 'infinity') > until_at;
    update state_intervals i
    set ended_at = from_at
    where i.gpu_id = gpu
        and i.subject = told_subject
        and i.started_at < from_at
        and coalesce(i.ended_at, 'infinity') > from_at;
    delete from state_intervals i
    where i.gpu_id = gpu
        and i.subject = told_subject
        and i.started_at >= from_at
        and i.started_at < coalesce(until_at, 'infinity');
    if told_state = 'ok' then
        return;
    end if;
    delete from state_intervals i
    where i.gpu_id = gpu
        and i.subject = told_subject
        and i.state = told_state
        and i.ended_at = from_at
    returning i.started_at into joined_from;
    joined_until := until_at;
    delete from state_intervals i
    where i.gpu_id = gpu
        and i.subject = told_subject
        and i.state = told_state
        and i.started_at = until_at
    returning i.ended_at into joined_until;
    if not found then
        joined_until := until_at;
    end if;
    insert into state_intervals (host_id, gpu_id, subject, state, started_at, ended_at)
    values (host, gpu, told_subject, told_state, coalesce(joined_from, from_at), joined_until);
end
$$;
