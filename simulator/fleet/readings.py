"""What the boards of a facility would say, in the catalogue's integer units.

Owns the step from physics to values, one function a metric group. Which metrics a board does not
offer is `unsupported_of`. Values are not clipped to the catalogue's ranges: they lie inside.
"""

import re

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.boards import Boards
from simulator.fleet.demand import Demand, Floats
from simulator.nvml.profile import Profile
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group, Metric
from telemetry.records import ReaderStatus

Values = NDArray[np.int64]

_FIELD = re.compile(r"field (\d+)")
# 15e-255, what the driver says of a link without errors, in the catalogue's form.
_HEALTHY_BIT_ERRORS = 25_382
_SLOW = tuple(metric.name for metric in CATALOGUE.group(Group.SLOW))
_KILOBYTES_PER_MEBIBYTE = 1048.576
_MEGABYTES_PER_MEBIBYTE = 1.048576


def unsupported_of(profile: Profile) -> tuple[str, ...]:
    """Return the catalogue names that boards of this profile do not offer."""
    return tuple(m.name for m in CATALOGUE.metrics if not _offered(m.source, profile))


def _offered(source: str, profile: Profile) -> bool:
    if source.startswith("GPM"):
        return profile.gpm_supported
    if field := _FIELD.match(source):
        return int(field[1]) not in profile.absent_fields
    return re.split(r"\W", source, maxsplit=1)[0] not in profile.absent


def supported(profile: Profile, group: Group) -> tuple[Metric, ...]:
    """Return the metrics of a group that boards of this profile offer, in column order."""
    missing = frozenset(unsupported_of(profile))
    return tuple(metric for metric in CATALOGUE.group(group) if metric.name not in missing)


def read_fast(boards: Boards, demand: Demand) -> dict[str, Values | int]:
    """Return the fast metrics by name: an array with one value a board, or one value for all."""
    profile, clocks = boards.profile, boards.profile.clocks
    working = demand.activity * np.minimum(1.0, demand.intensity)
    sm_active = demand.activity * (0.35 + 0.6 * np.minimum(1.0, demand.intensity))
    free = profile.memory_total_mebibytes - profile.memory_reserved_mebibytes
    link = (
        profile.links.nvlink_count * profile.links.nvlink_megabytes_per_second
    ) / _MEGABYTES_PER_MEBIBYTE
    pcie = profile.links.pcie_max_kilobytes_per_second / _KILOBYTES_PER_MEBIBYTE
    busy = demand.activity > 0
    return {
        "utilization_gpu_percent": _percent(demand.activity),
        "utilization_memory_percent": _percent(demand.memory_activity),
        "utilization_encoder_percent": 0,
        "utilization_decoder_percent": 0,
        "utilization_jpeg_percent": 0,
        "utilization_ofa_percent": 0,
        "memory_used_mebibytes": _whole(
            profile.memory_reserved_mebibytes + demand.memory_used * free
        ),
        "temperature_gpu_celsius": _whole(boards.core_celsius),
        "temperature_memory_celsius": _whole(boards.memory_celsius),
        "temperature_margin_celsius": _whole(boards.margin_celsius),
        "power_milliwatts": _whole(boards.power_average_watts * 1000),
        "power_instant_milliwatts": _whole(boards.power_watts * 1000),
        "energy_millijoules": _whole(boards.energy_joules * 1000),
        "clock_sm_megahertz": _whole(boards.clock_mhz / 15) * 15,
        "clock_memory_megahertz": clocks.max_memory_mhz,
        "clock_video_megahertz": np.where(busy, clocks.max_video_mhz, clocks.idle_video_mhz),
        "clock_event_reasons_bitmask": boards.reasons,
        "performance_state_code": 0,
        "graphics_active_permille": _permille(demand.activity),
        "sm_active_permille": _permille(sm_active),
        "sm_occupancy_permille": _permille(0.45 * sm_active),
        "tensor_active_permille": _permille(0.6 * working),
        "dram_active_permille": _permille(demand.memory_activity),
        "fp64_active_permille": 0,
        "fp32_active_permille": _permille(0.12 * sm_active),
        "fp16_active_permille": _permille(0.2 * working),
        "pcie_transmit_mebibytes_per_second": _whole(demand.pcie * pcie),
        "pcie_receive_mebibytes_per_second": _whole(0.8 * demand.pcie * pcie),
        "nvlink_receive_mebibytes_per_second": _whole(demand.link * link),
        "nvlink_transmit_mebibytes_per_second": _whole(demand.link * link),
        "reader_status_code": int(ReaderStatus.WHOLE),
        "read_failures_count": 0,
    }


def read_slow(boards: Boards, demand: Demand) -> dict[str, Values | int]:
    """Return the slow metrics by name: an array with one value a board, or one value for all.

    What is not named stays at zero on a board that is well.
    """
    links = boards.profile.links
    corrected = boards.corrected_errors.astype(np.int64)
    values: dict[str, Values | int] = dict.fromkeys(_SLOW, 0)
    return values | {
        "power_limit_milliwatts": boards.profile.power.default_limit_milliwatts,
        "bar1_used_mebibytes": 2,
        "throttled_power_nanoseconds": _whole(boards.throttled_power_s * 1e9),
        "throttled_thermal_nanoseconds": _whole(boards.throttled_thermal_s * 1e9),
        "ecc_corrected_volatile_count": corrected,
        "ecc_corrected_aggregate_count": corrected,
        "pcie_link_generation": links.pcie_generation,
        "pcie_link_width_lanes": links.pcie_width,
        "nvlink_active_links_count": links.nvlink_count,
        "fabric_state_code": links.fabric_state,
        "processes_count": (demand.activity > 0).astype(np.int64),
        "throttled_software_thermal_nanoseconds": _whole(boards.throttled_thermal_s * 1e9),
        "ecc_dram_corrected_volatile_count": corrected,
        "remap_banks_full_count": boards.profile.remap_banks,
        "nvlink_raw_ber_exponent_hundredths": _HEALTHY_BIT_ERRORS,
        "nvlink_effective_ber_exponent_hundredths": _HEALTHY_BIT_ERRORS,
        "nvlink_symbol_ber_exponent_hundredths": _HEALTHY_BIT_ERRORS,
        "ecc_enabled_flag": 1,
        "persistence_enabled_flag": 1,
        "inforom_valid_flag": 1,
    }


def _whole(values: Floats) -> Values:
    return np.rint(values).astype(np.int64)


def _percent(fraction: Floats) -> Values:
    return _whole(np.clip(fraction, 0.0, 1.0) * 100)


def _permille(fraction: Floats) -> Values:
    return _whole(np.clip(fraction, 0.0, 1.0) * 1000)
