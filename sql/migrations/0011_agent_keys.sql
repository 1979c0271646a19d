-- Which key speaks for which host, who said so, and what came that nobody's key stands for.
-- Locks collectors for a moment; the tables are new.

create table agent_keys (
    fingerprint bytea primary key check (octet_length(fingerprint) = 32),
    public_key bytea not null check (octet_length(public_key) = 32),
    tenant text not null,
    facility text not null,
    host text not null,
    state text not null default 'requested'
        check (state in ('requested', 'approved', 'revoked')),
    created_at timestamptz not null,
    requested_at timestamptz not null default now(),
    approved_at timestamptz,
    approved_by text,
    valid_from timestamptz,
    valid_until timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    changed_at timestamptz not null default now()
);
comment on table agent_keys is 'the names are those in the messages; a host may have several approved keys while one takes over from another; valid_until is null for no end';
create index agent_keys_host on agent_keys (tenant, facility, host);
create index agent_keys_changed on agent_keys (changed_at);

create table agent_key_audit (
    audit_id bigint generated always as identity primary key,
    time timestamptz not null default now(),
    actor text not null,
    action text not null,
    fingerprint bytea not null,
    detail text not null default ''
);
comment on table agent_key_audit is 'who did what to which key; rows are only added';

create function agent_key_audit_is_kept() returns trigger language plpgsql as $$
begin
    raise exception 'the audit of keys is only added to';
end
$$;
create trigger agent_key_audit_is_kept
before update or delete or truncate on agent_key_audit
for each statement execute function agent_key_audit_is_kept();

-- Collectors read the keys again when they hear of a change, and every half minute anyway.
create function tell_agent_keys() returns trigger language plpgsql as $$
begin
    perform pg_notify('fleetgauge_keys', '');
    return null;
end
$$;
create trigger tell_agent_keys
after insert or update or delete or truncate on agent_keys
for each statement execute function tell_agent_keys();

create table identity_findings (
    tenant text not null,
    facility text not null,
    host text not null,
    reason text not null,
    host_id integer references hosts,
    key_id bytea,
    first_at timestamptz not null,
    last_at timestamptz not null,
    messages bigint not null,
    refused boolean not null,
    detail text not null,
    primary key (tenant, facility, host, reason)
);
comment on table identity_findings is 'messages that no enrolled key stands for, and hosts that two machines speak for: one row a claimed host and reason, its latest episode; names nobody has heard of are counted under empty ones';
create index identity_findings_last on identity_findings (last_at);
create index identity_findings_host on identity_findings (host_id) where host_id is not null;

alter table collectors add column signatures text;
comment on column collectors.signatures is 'off, observe or required: what this collector does with messages that no enrolled key stands for';
