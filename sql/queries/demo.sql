-- What `fleetgauge demo` enters, and what it waits for.

-- name: enter_facility
-- What is contracted of a facility; a later demo may enter other terms.
insert into facilities (
    tenant,
    facility,
    display_name,
    provider,
    region,
    note,
    contracted_accelerators,
    contracted_power_watts
)
values (
    'default',
    %(facility)s,
    %(display_name)s,
    %(provider)s,
    %(region)s,
    %(note)s,
    %(contracted_accelerators)s,
    %(contracted_power_watts)s
)
on conflict (tenant, facility) do update set
    display_name = excluded.display_name,
    provider = excluded.provider,
    region = excluded.region,
    note = excluded.note,
    contracted_accelerators = excluded.contracted_accelerators,
    contracted_power_watts = excluded.contracted_power_watts;

-- name: live_facilities
-- Facilities of which something was stored since a time.
select f.facility
from facilities f
where exists (
    select
    from hosts h
    join host_state s on s.host_id = h.host_id
    where h.facility_id = f.facility_id
        and s.received_at >= %(since)s
);
