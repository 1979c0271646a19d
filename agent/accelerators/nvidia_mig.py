"""MIG: the instances that a board is cut into, as accelerators of their own.

Owns finding them and noticing that they are others now. NVML tells little about an instance: its
memory, its processes and GPM; power, heat, errors and links are the board's. What it does not tell
is never asked, because most calls take an instance's handle for a wrong one.
"""

import re
from typing import Any

from agent.accelerators.nvidia_board import Board, Instance
from agent.accelerators.nvidia_identity import MEBIBYTE, Questions, read_uuid, uuid_bytes
from agent.accelerators.nvidia_sources import GPM, OF_THE_AGENT
from agent.accelerators.nvidia_verdict import Verdict, translate, verdict
from telemetry.catalogue import CATALOGUE
from telemetry.errors import ReadError
from telemetry.records import Accelerator

OFFERED = frozenset({"memory_used_mebibytes", "bar1_used_mebibytes", "processes_count", *GPM})
NOT_OFFERED = frozenset(metric.name for metric in CATALOGUE.metrics) - OFFERED - OF_THE_AGENT
INSTANCES_MAX = 64
_PROFILE = re.compile(r"\bMIG (\S+)$")


class InstanceGoneError(ReadError):
    """A MIG instance is no more, while its board is well."""


def find_handles(nvml: Any, board: Board) -> dict[str, Any] | None:
    """Return the instances that a board has now, UUID text to handle; None where MIG is off.

    Raises:
        DeviceLost: the board is lost.
        PermanentError: the driver was replaced.
    """
    questions = Questions(nvml, board.handle)
    if not questions.flag(nvml.nvmlDeviceGetMigMode):
        return None
    found: dict[str, Any] = {}
    count = questions.ask(nvml.nvmlDeviceGetMaxMigDeviceCount) or 0
    for index in range(min(count, INSTANCES_MAX)):
        # A place without an instance is "not found", and those behind it may be taken.
        handle = questions.ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, index)
        if handle is not None:
            text = Questions(nvml, handle).text(nvml.nvmlDeviceGetUUID)
            if text:
                found[text] = handle
    return found


def make_instance(nvml: Any, parent: Board, uuid_text: str, handle: Any) -> Board | None:
    """Return what the reader keeps of an instance; None when it went away meanwhile."""
    questions = Questions(nvml, handle)
    gpu_instance = questions.ask(nvml.nvmlDeviceGetGpuInstanceId)
    compute_instance = questions.ask(nvml.nvmlDeviceGetComputeInstanceId)
    if gpu_instance is None or compute_instance is None:
        return None
    return Board(
        uuid=uuid_bytes(uuid_text),
        uuid_text=uuid_text,
        handle=handle,
        nvlinks=0,
        unsupported=set(NOT_OFFERED),
        exhausted=set(NOT_OFFERED),
        instance=Instance(parent, gpu_instance, compute_instance),
    )


def describe_instance(
    nvml: Any, board: Board, instance: Instance, parent: Accelerator
) -> Accelerator:
    """Return the inventory entry of an instance; it sits where its parent sits."""
    questions = Questions(nvml, board.handle)
    memory = questions.ask(nvml.nvmlDeviceGetMemoryInfo, nvml.nvmlMemory_v2)
    name = questions.text(nvml.nvmlDeviceGetName)
    profile = _PROFILE.search(name)
    return Accelerator(
        uuid=board.uuid,
        index=parent.index,
        model=name,
        serial=parent.serial,
        pci_address=parent.pci_address,
        chassis_serial=parent.chassis_serial,
        slot_number=parent.slot_number,
        tray_index=parent.tray_index,
        platform_host_id=parent.platform_host_id,
        module_id=parent.module_id,
        memory_total_mebibytes=None if memory is None else memory.total // MEBIBYTE,
        parent=parent.uuid,
        gpu_instance_id=instance.gpu_instance,
        compute_instance_id=instance.compute_instance,
        mig_profile=profile[1] if profile else "",
        unsupported=tuple(sorted(board.unsupported)),
    )


def check_instance(nvml: Any, board: Board) -> None:
    """Make sure that an instance's handle still means it.

    Raises:
        InstanceGoneError: the board is well and cut otherwise now.
        DeviceLost: the board is lost.
        PermanentError: the driver was replaced.
    """
    try:
        there = read_uuid(nvml, board.handle) == board.uuid_text
    except nvml.NVMLError as error:
        if verdict(error.value) in (Verdict.LOST, Verdict.MISMATCH):
            raise translate(error) from error
        there = False
    if not there:
        raise InstanceGoneError("the board is cut otherwise now")
