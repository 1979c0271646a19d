"""Who the simulated hosts are and where they stand.

Owns names, places and the identity of boards. Names are made from the facility's name and a
number, UUIDs from those, so that a second run is the same facility.
"""

from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

from simulator.nvml.profile import Profile
from telemetry.records import Accelerator, Place

RACKS_PER_ROW = 8
ROWS_PER_HALL = 16


@dataclass(frozen=True, slots=True)
class PlannedHost:
    """One host of the plan.

    Attributes:
        rack_number: counted through the whole facility, from 0.
    """

    name: str
    place: Place
    rack_number: int
    uuids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a facility is.

    Attributes:
        gpus: accelerators in each host.
        hosts_per_rack: hosts in each rack; the last rack may hold fewer.
    """

    tenant: str
    facility: str
    hosts: int
    gpus: int
    hosts_per_rack: int

    def make_hosts(self) -> list[PlannedHost]:
        """Return the hosts, rack by rack."""
        return [self._make_host(number) for number in range(self.hosts)]

    def _make_host(self, number: int) -> PlannedHost:
        rack, tray = divmod(number, self.hosts_per_rack)
        row = rack // RACKS_PER_ROW
        hall = row // ROWS_PER_HALL
        name = f"{self.facility}-{number + 1:05d}"
        place = Place(
            hall=f"hall {hall + 1}",
            row=f"{row % ROWS_PER_HALL + 1:02d}",
            rack=f"{rack + 1:03d}",
            tray=f"{tray + 1:02d}",
        )
        return PlannedHost(name, place, rack, self._make_uuids(name))

    def _make_uuids(self, host: str) -> tuple[bytes, ...]:
        return tuple(board_uuid(self.tenant, self.facility, host, i) for i in range(self.gpus))


def board_uuid(*path: object) -> bytes:
    """Return the UUID of the board at that path of names, the same in each run."""
    return uuid5(NAMESPACE_URL, "/".join(("fleetgauge-simulated", *map(str, path)))).bytes


def describe_boards(
    profile: Profile, uuids: tuple[bytes, ...], unsupported: tuple[str, ...]
) -> list[Accelerator]:
    """Return the inventory of one host: boards of the profile, with serials from their UUIDs."""
    limits = profile.limits
    return [
        Accelerator(
            uuid=uuid,
            index=index,
            model=profile.name,
            serial=f"{int.from_bytes(uuid[:5]) % 10**13:013d}",
            board_part_number=profile.board_part_number,
            vbios_version=profile.vbios_version,
            pci_address=f"00000000:{0x10 + 0x10 * index:02X}:00.0",
            module_id=index + 1,
            memory_total_mebibytes=profile.memory_total_mebibytes,
            power_limit_default_milliwatts=profile.power.default_limit_milliwatts,
            power_limit_max_milliwatts=profile.power.max_limit_milliwatts,
            temperature_slowdown_celsius=(
                limits.core_max_operating_celsius - limits.slowdown_offset_celsius
            ),
            temperature_shutdown_celsius=(
                limits.core_max_operating_celsius - limits.shutdown_offset_celsius
            ),
            temperature_memory_max_celsius=limits.memory_max_operating_celsius,
            clock_sm_max_megahertz=profile.clocks.max_sm_mhz,
            pcie_generation_max=profile.links.pcie_generation,
            pcie_width_max_lanes=profile.links.pcie_width,
            nvlinks_count=profile.links.nvlink_count,
            mig_enabled=False,
            ecc_enabled=True,
            persistence_enabled=True,
            unsupported=unsupported,
        )
        for index, uuid in enumerate(uuids)
    ]
