"""NVML calls that say who a board is and in which modes it runs."""

from typing import Any

from simulator.nvml.calling import (
    ARGUMENT_VERSION_MISMATCH,
    CORRUPTED_INFOROM,
    SUCCESS,
    DeviceCall,
    has_version,
    put,
    put_text,
    target,
)
from simulator.nvml.device import SimulatedGpu

PLATFORM_INFO_V2 = 0x200002C
NUMA_BUS_HALF = 0x80


def _name(gpu: SimulatedGpu, buffer: Any, size: Any) -> int:
    return put_text(buffer, size, gpu.profile.name)


def _uuid(gpu: SimulatedGpu, buffer: Any, size: Any) -> int:
    return put_text(buffer, size, gpu.identity.uuid)


def _serial(gpu: SimulatedGpu, buffer: Any, size: Any) -> int:
    return put_text(buffer, size, gpu.identity.serial)


def _board_part_number(gpu: SimulatedGpu, buffer: Any, size: Any) -> int:
    return put_text(buffer, size, gpu.profile.board_part_number)


def _vbios_version(gpu: SimulatedGpu, buffer: Any, size: Any) -> int:
    return put_text(buffer, size, gpu.profile.vbios_version)


def _inforom_image_version(gpu: SimulatedGpu, buffer: Any, size: Any) -> int:
    return put_text(buffer, size, gpu.profile.inforom_image_version)


def _pci_info(gpu: SimulatedGpu, info: Any) -> int:
    result, bus = target(info), gpu.identity.pci_bus
    result.domain, result.bus, result.device = 0, bus, 0
    result.pciDeviceId = gpu.profile.pci_device_id
    result.pciSubSystemId = gpu.profile.pci_subsystem_id
    result.busIdLegacy = f"0000:{bus:02X}:00.0"
    result.busId = f"00000000:{bus:02X}:00.0"
    return SUCCESS


def _platform_info(gpu: SimulatedGpu, info: Any) -> int:
    """Only boards of racks that NVIDIA builds know their chassis; others answer with none."""
    result = target(info)
    if not has_version(result, PLATFORM_INFO_V2):
        return ARGUMENT_VERSION_MISMATCH
    if gpu.profile.in_chassis:
        result.chassisSerialNumber = f"1820{gpu.identity.serial[3:10]}"
        result.slotNumber = b"\x01"
    result.trayIndex, result.hostId = b"\x00", b"\x01"
    result.peerType, result.moduleId = b"\x01", bytes([gpu.identity.module_id])
    return SUCCESS


def _ecc_mode(gpu: SimulatedGpu, current: Any, pending: Any) -> int:  # noqa: ARG001 - always on
    return put(current, 1) or put(pending, 1)


def _mig_mode(gpu: SimulatedGpu, current: Any, pending: Any) -> int:
    return put(current, gpu.mig_enabled) or put(pending, gpu.mig_enabled)


def _compute_capability(gpu: SimulatedGpu, major: Any, minor: Any) -> int:
    return put(major, gpu.profile.compute_capability[0]) or put(
        minor, gpu.profile.compute_capability[1]
    )


CALLS: dict[str, DeviceCall] = {
    "nvmlDeviceGetName": _name,
    "nvmlDeviceGetUUID": _uuid,
    "nvmlDeviceGetSerial": _serial,
    "nvmlDeviceGetBoardPartNumber": _board_part_number,
    "nvmlDeviceGetVbiosVersion": _vbios_version,
    "nvmlDeviceGetInforomImageVersion": _inforom_image_version,
    "nvmlDeviceGetPciInfo_v3": _pci_info,
    "nvmlDeviceGetPlatformInfo": _platform_info,
    "nvmlDeviceGetModuleId": lambda gpu, result: put(result, gpu.identity.module_id),
    "nvmlDeviceGetMinorNumber": lambda gpu, result: put(result, gpu.slot),
    "nvmlDeviceGetIndex": lambda gpu, result: put(result, gpu.slot),
    "nvmlDeviceGetBrand": lambda gpu, result: put(result, gpu.profile.brand),
    "nvmlDeviceGetArchitecture": lambda gpu, result: put(result, gpu.profile.architecture),
    "nvmlDeviceGetCudaComputeCapability": _compute_capability,
    "nvmlDeviceGetNumaNodeId": lambda gpu, result: put(
        result, int(gpu.identity.pci_bus >= NUMA_BUS_HALF)
    ),
    "nvmlDeviceGetEccMode": _ecc_mode,
    "nvmlDeviceGetMigMode": _mig_mode,
    "nvmlDeviceGetPersistenceMode": lambda _gpu, result: put(result, 1),
    "nvmlDeviceValidateInforom": lambda gpu: (
        CORRUPTED_INFOROM if gpu.counters.inforom_corrupted else SUCCESS
    ),
}
