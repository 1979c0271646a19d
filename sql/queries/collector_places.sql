-- name: add_facilities
-- Facilities that are met for the first time.
insert into facilities (tenant, facility)
select distinct tenant, facility
from unnest(%(tenants)s::text[], %(facilities)s::text[]) as met (tenant, facility)
order by 1, 2
on conflict (tenant, facility) do nothing;

-- name: add_racks
-- The nameless rack of each of these facilities.
insert into racks (facility_id)
select facility_id
from facilities
where (tenant, facility) in (
    select *
    from unnest(%(tenants)s::text[], %(facilities)s::text[])
)
order by 1
on conflict (facility_id, hall, row, rack) do nothing;

-- name: add_hosts
-- Hosts that are met for the first time, in the nameless rack until an inventory says where.
insert into hosts (facility_id, rack_id, host)
select
    facilities.facility_id,
    racks.rack_id,
    met.host
from unnest(
    %(tenants)s::text[],
    %(facilities)s::text[],
    %(hosts)s::text[]
) as met (tenant, facility, host)
join facilities using (tenant, facility)
join racks on racks.facility_id = facilities.facility_id
    and racks.hall = ''
    and racks.row = ''
    and racks.rack = ''
order by 1, 3
on conflict (facility_id, host) do nothing;

-- name: find_hosts
-- Ids of hosts by name.
select
    met.tenant,
    met.facility,
    met.host,
    hosts.host_id,
    hosts.facility_id,
    hosts.rack_id
from unnest(
    %(tenants)s::text[],
    %(facilities)s::text[],
    %(hosts)s::text[]
) as met (tenant, facility, host)
join facilities using (tenant, facility)
join hosts on hosts.facility_id = facilities.facility_id
    and hosts.host = met.host;

-- name: add_accelerators
-- Accelerators that are met for the first time.
insert into accelerators (host_id, uuid)
select *
from unnest(%(host_ids)s::integer[], %(uuids)s::uuid[])
order by 1, 2
on conflict (host_id, uuid) do nothing;

-- name: find_accelerators
-- Ids of accelerators by host and UUID, and whether each is an instance, a part of another.
select
    accelerators.host_id,
    accelerators.uuid,
    accelerators.gpu_id,
    accelerators.parent_uuid is not null
from unnest(%(host_ids)s::integer[], %(uuids)s::uuid[]) as met (host_id, uuid)
join accelerators on accelerators.host_id = met.host_id
    and accelerators.uuid = met.uuid;

-- name: place_rack
-- The rack of an inventory, made if it is new.
insert into racks (facility_id, hall, row, rack)
values (%(facility_id)s, %(hall)s, %(row)s, %(rack)s)
on conflict (facility_id, hall, row, rack) do update
set hall = excluded.hall
returning rack_id;

-- name: place_host
-- What an inventory says about its host; an older one changes nothing.
update hosts
set
    rack_id = %(rack_id)s,
    tray = %(tray)s,
    provider = %(provider)s,
    driver_version = %(driver_version)s,
    library_version = %(library_version)s,
    kernel_version = %(kernel_version)s,
    agent_version = %(agent_version)s,
    inventory_time = %(time)s
where host_id = %(host_id)s
    and (inventory_time is null or inventory_time <= %(time)s);

-- name: describe_accelerator
-- What an inventory says about an accelerator; an older one changes nothing.
insert into accelerators (
    host_id,
    uuid,
    index,
    parent_uuid,
    vendor,
    model,
    serial,
    board_part_number,
    vbios_version,
    pci_address,
    chassis_serial,
    slot_number,
    tray_index,
    module_id,
    memory_total_mebibytes,
    power_limit_default_milliwatts,
    power_limit_max_milliwatts,
    temperature_slowdown_celsius,
    temperature_shutdown_celsius,
    temperature_memory_max_celsius,
    clock_sm_max_megahertz,
    pcie_generation_max,
    pcie_width_max_lanes,
    nvlinks_count,
    mig_enabled,
    ecc_enabled,
    persistence_enabled,
    unsupported,
    inforom_version,
    platform_host_id,
    margin_shutdown_celsius,
    margin_slowdown_celsius,
    margin_memory_max_celsius,
    margin_gpu_max_celsius,
    fabric_cluster,
    fabric_clique_id,
    gpu_instance_id,
    compute_instance_id,
    mig_profile,
    inventory_time
)
values (
    %(host_id)s,
    %(uuid)s,
    %(index)s,
    %(parent_uuid)s,
    %(vendor)s,
    %(model)s,
    %(serial)s,
    %(board_part_number)s,
    %(vbios_version)s,
    %(pci_address)s,
    %(chassis_serial)s,
    %(slot_number)s,
    %(tray_index)s,
    %(module_id)s,
    %(memory_total_mebibytes)s,
    %(power_limit_default_milliwatts)s,
    %(power_limit_max_milliwatts)s,
    %(temperature_slowdown_celsius)s,
    %(temperature_shutdown_celsius)s,
    %(temperature_memory_max_celsius)s,
    %(clock_sm_max_megahertz)s,
    %(pcie_generation_max)s,
    %(pcie_width_max_lanes)s,
    %(nvlinks_count)s,
    %(mig_enabled)s,
    %(ecc_enabled)s,
    %(persistence_enabled)s,
    %(unsupported)s,
    %(inforom_version)s,
    %(platform_host_id)s,
    %(margin_shutdown_celsius)s,
    %(margin_slowdown_celsius)s,
    %(margin_memory_max_celsius)s,
    %(margin_gpu_max_celsius)s,
    %(fabric_cluster)s,
    %(fabric_clique_id)s,
    %(gpu_instance_id)s,
    %(compute_instance_id)s,
    %(mig_profile)s,
    %(time)s
)
on conflict (host_id, uuid) do update
set
    index = excluded.index,
    present = true,
    parent_uuid = excluded.parent_uuid,
    vendor = excluded.vendor,
    model = excluded.model,
    serial = excluded.serial,
    board_part_number = excluded.board_part_number,
    vbios_version = excluded.vbios_version,
    pci_address = excluded.pci_address,
    chassis_serial = excluded.chassis_serial,
    slot_number = excluded.slot_number,
    tray_index = excluded.tray_index,
    module_id = excluded.module_id,
    memory_total_mebibytes = excluded.memory_total_mebibytes,
    power_limit_default_milliwatts = excluded.power_limit_default_milliwatts,
    power_limit_max_milliwatts = excluded.power_limit_max_milliwatts,
    temperature_slowdown_celsius = excluded.temperature_slowdown_celsius,
    temperature_shutdown_celsius = excluded.temperature_shutdown_celsius,
    temperature_memory_max_celsius = excluded.temperature_memory_max_celsius,
    clock_sm_max_megahertz = excluded.clock_sm_max_megahertz,
    pcie_generation_max = excluded.pcie_generation_max,
    pcie_width_max_lanes = excluded.pcie_width_max_lanes,
    nvlinks_count = excluded.nvlinks_count,
    mig_enabled = excluded.mig_enabled,
    ecc_enabled = excluded.ecc_enabled,
    persistence_enabled = excluded.persistence_enabled,
    unsupported = excluded.unsupported,
    inforom_version = excluded.inforom_version,
    platform_host_id = excluded.platform_host_id,
    margin_shutdown_celsius = excluded.margin_shutdown_celsius,
    margin_slowdown_celsius = excluded.margin_slowdown_celsius,
    margin_memory_max_celsius = excluded.margin_memory_max_celsius,
    margin_gpu_max_celsius = excluded.margin_gpu_max_celsius,
    fabric_cluster = excluded.fabric_cluster,
    fabric_clique_id = excluded.fabric_clique_id,
    gpu_instance_id = excluded.gpu_instance_id,
    compute_instance_id = excluded.compute_instance_id,
    mig_profile = excluded.mig_profile,
    inventory_time = excluded.inventory_time
where accelerators.inventory_time is null
    or accelerators.inventory_time <= excluded.inventory_time;

-- name: note_absent
-- Accelerators that the newest inventory of their host no longer lists. While two machines send under
-- one name, neither says anything about what the other holds.
update accelerators
set present = false
where host_id = %(host_id)s
    and uuid <> all(%(uuids)s)
    and present
    and (inventory_time is null or inventory_time <= %(time)s)
    and not exists (
        select from identity_findings f
        where f.host_id = %(host_id)s
            and f.reason = 'two_machines'
            and f.last_at > now() - interval '2 hours'
    );
