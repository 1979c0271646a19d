-- What operators do. Each runs in its own transaction as the role that may call these functions and
-- nothing else, and gives back a sentence for the person.

-- name: enter
-- For this transaction: only the right to act, where, and as what.
select
    set_config('role', 'fleetgauge_desk', true),
    set_config('fleetgauge.tenant', %(tenant)s, true),
    set_config('fleetgauge.facility', %(facility)s, true),
    set_config('fleetgauge.role', %(role)s, true);

-- name: acknowledge
-- Somebody looks after all alerts of an incident that fire now.
select act_acknowledge(
    %(author)s::text, %(incident)s::bigint, %(alert)s::bigint, %(comment)s::text
);

-- name: assign
-- Somebody is to look after an incident.
select act_note(
    %(author)s::text, %(incident)s::bigint, %(alert)s::bigint, 'assigned', %(to)s::text
);

-- name: comment
-- Something is said about an incident.
select act_note(
    %(author)s::text, %(incident)s::bigint, %(alert)s::bigint, 'comment', %(comment)s::text
);

-- name: silence
-- What an incident is about wakes nobody for a while.
select act_silence(
    %(author)s::text,
    %(incident)s::bigint,
    %(alert)s::bigint,
    %(comment)s::text,
    %(hours)s::float8
);

-- name: end_silence
-- A silence ends now.
select act_end_silence(%(author)s::text, %(silence)s::bigint, %(comment)s::text);
