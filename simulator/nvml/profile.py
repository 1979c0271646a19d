"""Board profiles: what one model of GPU is and says when nothing is wrong with it.

Owns the record and its loading; the figures live in `profiles/*.toml`, each with its source.
What changes from second to second is `physics`; what differs between two boards of one model is
`device`.
"""

from functools import cache
from pathlib import Path

import msgspec

PROFILES_FOLDER = Path(__file__).with_name("profiles")


class Thermal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lumped thermal model. Resistances are rises above inlet in degrees a watt of board power."""

    inlet_celsius: float
    core_fast_celsius_per_watt: float
    core_slow_celsius_per_watt: float
    memory_offset_celsius: float
    memory_celsius_per_watt: float
    core_fast_s: float
    core_slow_s: float
    memory_s: float


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Temperatures: absolute where T.Limit is 0, and the offsets that the driver publishes."""

    core_max_operating_celsius: int
    memory_max_operating_celsius: int
    shutdown_offset_celsius: int
    slowdown_offset_celsius: int
    core_max_offset_celsius: int
    memory_max_offset_celsius: int


class Power(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Board power in milliwatts."""

    idle_milliwatts: int
    default_limit_milliwatts: int
    min_limit_milliwatts: int
    max_limit_milliwatts: int
    memory_idle_milliwatts: int
    memory_busy_milliwatts: int


class Clocks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Clocks in MHz: when idle and at most."""

    idle_sm_mhz: int
    max_sm_mhz: int
    idle_memory_mhz: int
    max_memory_mhz: int
    idle_video_mhz: int
    max_video_mhz: int


class Links(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PCIe and NVLink. `nvlink_version` is NVML's enumeration, not the marketing number."""

    pcie_generation: int
    pcie_width: int
    pcie_idle_transmit_kilobytes_per_second: int
    pcie_idle_receive_kilobytes_per_second: int
    pcie_max_kilobytes_per_second: int
    nvlink_count: int
    nvlink_version: int
    nvlink_megabytes_per_second: int
    fabric_state: int


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model of GPU under one driver.

    `absent` names NVML functions and `absent_fields` field ids that answer "not supported";
    `deprecated` functions answer so; `missing` functions are not exported by this driver's library.
    `in_chassis`: the board sits in a rack that NVIDIA builds, and knows where.
    `busy_*` describe the stress test under which the figures were taken.
    """

    name: str
    driver_version: str
    nvml_version: str
    cuda_version: int
    architecture: int
    compute_capability: tuple[int, int]
    brand: int
    board_part_number: str
    vbios_version: str
    inforom_image_version: str
    pci_device_id: int
    pci_subsystem_id: int
    memory_total_mebibytes: int
    memory_reserved_mebibytes: int
    bar1_total_mebibytes: int
    remap_banks: int
    clock_event_reasons_supported: int
    event_types_supported: int
    gpm_supported: bool
    busy_intensity: float
    busy_memory_activity: float
    power: Power
    clocks: Clocks
    limits: Limits
    thermal: Thermal
    links: Links
    in_chassis: bool = False
    absent: tuple[str, ...] = ()
    absent_fields: tuple[int, ...] = ()
    absent_ecc_locations: tuple[int, ...] = ()
    absent_thresholds: tuple[int, ...] = ()
    deprecated: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def names() -> list[str]:
    """The profiles there are, sorted."""
    return sorted(path.stem for path in PROFILES_FOLDER.glob("*.toml"))


@cache
def load(name: str) -> Profile:
    """Return the profile of that name; KeyError names those that exist."""
    if name not in names():
        raise KeyError(f"no GPU profile {name!r}; there are {', '.join(names())}")
    return msgspec.toml.decode((PROFILES_FOLDER / f"{name}.toml").read_bytes(), type=Profile)
