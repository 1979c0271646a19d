-- The outbox: notices from the moment they are decided until somebody took them.

-- name: put
insert into outbox (receiver, incident_id, dedup_key, body, created_at, next_attempt_at)
select r.receiver, r.incident_id, r.dedup_key, r.body, r.created_at, r.created_at
from jsonb_to_recordset(%(rows)s::jsonb) as r (
    receiver text, incident_id bigint, dedup_key text, body text, created_at timestamptz
);

-- name: claim
-- The oldest notice of a receiver, if it is due: order is kept, so an end never overtakes its
-- beginning. A claimed one comes back by itself when whoever claimed it dies.
with head as (
    select o.message_id
    from outbox o
    where o.receiver = %(receiver)s and o.state = 'waiting'
    order by o.message_id
    limit 1
    for update
)
update outbox o
set
    attempts = o.attempts + 1,
    next_attempt_at = %(now)s + %(claim_s)s * interval '1 second'
from head
where o.message_id = head.message_id and o.next_attempt_at <= %(now)s
returning o.message_id, o.dedup_key, o.body, o.created_at, o.attempts;

-- name: finish
update outbox
set
    state = %(state)s,
    finished_at = %(now)s,
    error = %(error)s
where message_id = %(message_id)s and state = 'waiting';

-- name: postpone
update outbox
set
    next_attempt_at = %(next_attempt_at)s,
    error = %(error)s
where message_id = %(message_id)s and state = 'waiting';

-- name: note_attempt
insert into delivery_attempts (
    message_id, time, receiver, outcome, status, duration_milliseconds, error
)
values (
    %(message_id)s,
    %(now)s,
    %(receiver)s,
    %(outcome)s,
    %(status)s,
    %(duration_milliseconds)s,
    %(error)s
);

-- name: expire
-- Give up on what is too old to be news.
update outbox
set
    state = 'expired',
    finished_at = %(now)s
where receiver = %(receiver)s and state = 'waiting' and created_at < %(created_before)s;

-- name: escalate
-- Copy what a receiver has not taken in time, or has refused, to another one, once.
with late as (
    update outbox o
    set escalated = true
    where o.receiver = %(receiver)s
        and not o.escalated
        and (
            (o.state = 'waiting' and o.created_at < %(created_before)s)
            or (o.state in ('refused', 'expired') and o.finished_at > %(now)s - interval '1 day')
        )
    returning o.message_id, o.incident_id, o.dedup_key, o.body
)
insert into outbox (receiver, incident_id, dedup_key, body, created_at, next_attempt_at)
select %(fallback)s, late.incident_id, late.dedup_key, late.body, %(now)s, %(now)s
from late
order by late.message_id;
