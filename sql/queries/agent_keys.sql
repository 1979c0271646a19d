-- Keys of agents: the operator's list, what collectors trust, and what no key stands for.

-- name: state
-- Changes whenever a key does.
select count(*), max(changed_at) from agent_keys;

-- name: trusted
-- Every key that a collector has to know; revoked ones too, to say so of their messages.
select
    fingerprint,
    public_key,
    tenant,
    facility,
    host,
    state,
    extract(epoch from valid_until)::float8
from agent_keys;

-- name: request
-- Note that a key asks to speak for a host; a key that is there already stays as it is.
insert into agent_keys (fingerprint, public_key, tenant, facility, host, created_at)
values (%(fingerprint)s, %(public_key)s, %(tenant)s, %(facility)s, %(host)s, %(created)s)
on conflict (fingerprint) do nothing;

-- name: find
-- Keys whose fingerprint begins with these bytes.
select fingerprint, tenant, facility, host, state
from agent_keys
where substring(fingerprint for octet_length(%(start)s)) = %(start)s
limit 2;

-- name: find_requested
-- Keys of a facility that wait for approval.
select fingerprint, tenant, facility, host, state
from agent_keys
where state = 'requested'
    and facility = %(facility)s
    and tenant = %(tenant)s
order by host;

-- name: approve
-- Trust a key from now on.
update agent_keys
set state = 'approved',
    approved_at = now(),
    approved_by = %(actor)s,
    valid_from = now(),
    valid_until = now() + %(valid_days)s::integer * interval '1 day',
    changed_at = now()
where fingerprint = %(fingerprint)s
    and state = 'requested';

-- name: end_others
-- The other keys of the same host are trusted for a while longer, and then no more.
update agent_keys o
set valid_until = now() + %(overlap_hours)s::float8 * interval '1 hour',
    changed_at = now()
from agent_keys k
where k.fingerprint = %(fingerprint)s
    and (o.tenant, o.facility, o.host) = (k.tenant, k.facility, k.host)
    and o.fingerprint <> k.fingerprint
    and o.state = 'approved'
    and (
        o.valid_until is null
        or o.valid_until > now() + %(overlap_hours)s::float8 * interval '1 hour'
    )
returning o.fingerprint;

-- name: revoke
-- Trust a key no more, whatever it was.
update agent_keys
set state = 'revoked',
    revoked_at = now(),
    revoked_by = %(actor)s,
    changed_at = now()
where fingerprint = %(fingerprint)s
    and state <> 'revoked';

-- name: audit
-- Write down who did what.
insert into agent_key_audit (actor, action, fingerprint, detail)
values (%(actor)s, %(action)s, %(fingerprint)s, %(detail)s);

-- name: list
-- All keys, those that wait for approval first.
select
    fingerprint,
    tenant,
    facility,
    host,
    case
        when state = 'approved' and valid_until <= now() then 'expired'
        else state
    end as state,
    requested_at,
    approved_at,
    approved_by,
    valid_until,
    revoked_at,
    revoked_by
from agent_keys
order by state <> 'requested', tenant, facility, host, requested_at;

-- name: history
-- What was done to keys, the newest first.
select time, actor, action, fingerprint, detail
from agent_key_audit
order by audit_id desc
limit %(limit)s;

-- name: note_findings
-- Add to what was found. An episode ends after an hour of quiet. A host that is known has the start
-- of an episode among its events too, under numbers that no agent gives (boot epoch 0).
with found as (
    select *
    from unnest(
        %(tenants)s::text[], %(facilities)s::text[], %(hosts)s::text[], %(reasons)s::text[],
        %(key_ids)s::bytea[], %(messages)s::bigint[], %(refused)s::boolean[], %(details)s::text[]
    ) as f (tenant, facility, host, reason, key_id, messages, refused, detail)
),

known as (
    select
        f.*,
        h.host_id,
        h.host_id is not null or exists (
            select from agent_keys k
            where (k.tenant, k.facility, k.host) = (f.tenant, f.facility, f.host)
        ) as is_known
    from found f
    left join facilities s on (s.tenant, s.facility) = (f.tenant, f.facility)
    left join hosts h on h.facility_id = s.facility_id and h.host = f.host
),

summed as (
    select
        case when is_known then tenant else '' end as tenant,
        case when is_known then facility else '' end as facility,
        case when is_known then host else '' end as host,
        reason,
        min(host_id) as host_id,
        (array_agg(key_id))[1] as key_id,
        sum(messages)::bigint as messages,
        bool_or(refused) as refused,
        min(detail) as detail
    from known
    group by 1, 2, 3, 4
),

noted as (
    insert into identity_findings as i (
        tenant, facility, host, reason, host_id, key_id, first_at, last_at, messages, refused,
        detail
    )
    select
        tenant, facility, host, reason, host_id, key_id, %(now)s, %(now)s, messages, refused, detail
    from summed
    order by tenant, facility, host, reason
    on conflict (tenant, facility, host, reason) do update set
        host_id = excluded.host_id,
        key_id = excluded.key_id,
        first_at = case
            when i.last_at < excluded.last_at - interval '1 hour' then excluded.first_at
            else i.first_at
        end,
        last_at = greatest(i.last_at, excluded.last_at),
        messages = excluded.messages + case
            when i.last_at < excluded.last_at - interval '1 hour' then 0
            else i.messages
        end,
        refused = excluded.refused,
        detail = excluded.detail
    returning i.host_id, i.reason, i.first_at, i.detail
)

insert into events (time, host_id, kind, message, boot_epoch, seq, position)
select
    first_at,
    host_id,
    case when reason = 'two_machines' then 'identity_conflict' else 'identity_refused' end,
    reason || ': ' || detail,
    0,
    (extract(epoch from first_at) * 1000000)::bigint,
    (row_number() over (partition by host_id order by reason))::smallint
from noted
where host_id is not null
    and first_at = %(now)s
on conflict do nothing;
