-- How a state of an accelerator enters `state_intervals`. What is normal has no row: intervals are of
-- what is not. A reading says what was true in its own span, and from there on where nothing newer is
-- known; so whatever comes late changes its own span and no more. Locks nothing.

comment on table state_intervals is 'what was not normal from when to when: subject is reader, slowdown or health; an open interval has no end; intervals of one accelerator and subject do not overlap';
create index state_intervals_gpu on state_intervals (gpu_id, subject, started_at);

create function put_state(
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
    perform pg_advisory_xact_lock(hashtext('fleetgauge state'), gpu);
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
comment on function put_state is 'an accelerator''s state from a time until another, or, where that is null, from then on';
