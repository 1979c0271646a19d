-- Where things are and what they are: facilities, racks, hosts, accelerators.
-- Locks nothing: all tables are new.

create table facilities (
    facility_id integer generated always as identity primary key,
    tenant text not null,
    facility text not null,
    display_name text,
    provider text,
    region text,
    note text,
    contracted_accelerators integer,
    contracted_power_watts bigint,
    first_seen timestamptz not null default now(),
    unique (tenant, facility)
);
comment on table facilities is 'one row a facility of a tenant; contract terms are entered, not seen';

create table racks (
    rack_id integer generated always as identity primary key,
    facility_id integer not null references facilities,
    hall text not null default '',
    row text not null default '',
    rack text not null default '',
    unique (facility_id, hall, row, rack)
);
comment on table racks is 'a host without a place belongs to the rack with three empty names';

create table hosts (
    host_id integer generated always as identity primary key,
    facility_id integer not null references facilities,
    rack_id integer not null references racks,
    host text not null,
    tray text not null default '',
    provider text,
    driver_version text,
    library_version text,
    kernel_version text,
    agent_version text,
    first_seen timestamptz not null default now(),
    inventory_time timestamptz,
    unique (facility_id, host)
);
create index hosts_rack on hosts (rack_id);

create table accelerators (
    gpu_id integer generated always as identity primary key,
    host_id integer not null references hosts,
    uuid uuid not null,
    index smallint,
    present boolean not null default true,
    parent_uuid uuid,
    vendor text,
    model text,
    serial text,
    board_part_number text,
    vbios_version text,
    pci_address text,
    chassis_serial text,
    slot_number integer,
    tray_index integer,
    module_id integer,
    memory_total_mebibytes bigint,
    power_limit_default_milliwatts bigint,
    power_limit_max_milliwatts bigint,
    temperature_slowdown_celsius integer,
    temperature_shutdown_celsius integer,
    temperature_memory_max_celsius integer,
    clock_sm_max_megahertz bigint,
    pcie_generation_max integer,
    pcie_width_max_lanes integer,
    nvlinks_count integer,
    mig_enabled boolean,
    ecc_enabled boolean,
    persistence_enabled boolean,
    unsupported text[] not null default '{}',
    first_seen timestamptz not null default now(),
    inventory_time timestamptz,
    unique (host_id, uuid)
);
comment on table accelerators is 'an accelerator as seated in a host: two hosts that claim one UUID stay apart; present is false once an inventory no longer lists it';
create index accelerators_uuid on accelerators (uuid);
create index accelerators_serial on accelerators (serial) where serial is not null;
