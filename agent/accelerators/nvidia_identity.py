"""Who a board is: NVML's identity and limits as an inventory entry.

Owns the questions that are asked once per start. What a board does not tell is None or empty.
"""

import ctypes
import uuid
from collections.abc import Callable, Collection
from typing import Any

from agent.accelerators.nvidia_board import Board
from agent.accelerators.nvidia_verdict import Verdict, translate, verdict
from telemetry.errors import DeviceLost
from telemetry.records import Accelerator

NVLINKS_MAX = 36
TEXT_CHARS_MAX = 128
MEBIBYTE = 1 << 20
FIELD_NVLINK_COUNT = 91
FIELDS_MARGIN = {
    "margin_shutdown_celsius": 193,
    "margin_slowdown_celsius": 194,
    "margin_memory_max_celsius": 195,
    "margin_gpu_max_celsius": 196,
}
# Any fixed namespace will do; this one makes the same UUID on each host and at each start.
NAMESPACE = uuid.UUID("6f2d8f0e-5f0f-4f6e-9a75-2f5b0c7d9a11")


def uuid_bytes(text: str) -> bytes:
    """Return the 16 bytes of a driver's `GPU-…` or `MIG-…`; a UUID5 of anything else."""
    try:
        return uuid.UUID(text.partition("-")[2]).bytes
    except ValueError:
        return uuid.uuid5(NAMESPACE, f"nvidia/{text}").bytes


class Questions:
    """Questions about one board, each answered by None where the driver cannot say."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """Return the answer to one question about the board.

        Raises:
            DeviceLost: the board is lost.
            PermanentError: the driver was replaced.
        """
        try:
            return question(self._handle, *arguments)
        except self._nvml.NVMLError as error:
            if verdict(error.value) in (Verdict.LOST, Verdict.MISMATCH):
                raise translate(error) from error
            return None
        except UnicodeDecodeError:
            return None

    def text(self, question: Callable[..., Any]) -> str:
        """Return a text, cut and cleaned, or nothing."""
        answer = self.ask(question)
        if not isinstance(answer, str):
            return ""
        return "".join(c for c in answer if c.isprintable())[:TEXT_CHARS_MAX].strip()

    def flag(self, question: Callable[..., Any]) -> bool | None:
        """Return a state of 0 or 1, or the first of a pair of current and pending."""
        answer = self.ask(question)
        if isinstance(answer, list):
            answer = answer[0]
        return None if answer is None else bool(answer)


def read_uuid(nvml: Any, handle: Any) -> str:
    """Return a board's UUID as text; DeviceLost where it gives no text at all."""
    try:
        return str(nvml.nvmlDeviceGetUUID(handle))
    except UnicodeDecodeError as error:
        raise DeviceLost("its UUID is not text") from error


def make_board(nvml: Any, handle: Any) -> Board:
    """Return what the reader keeps of a board; NVML's error when it has no UUID."""
    uuid_text = read_uuid(nvml, handle)
    return Board(uuid_bytes(uuid_text), uuid_text, handle, count_nvlinks(nvml, handle))


def count_nvlinks(nvml: Any, handle: Any) -> int:
    """Return how many links the board has: what it says, or else those that have a state."""
    questions = Questions(nvml, handle)
    fields = questions.ask(nvml.nvmlDeviceGetFieldValues, [FIELD_NVLINK_COUNT])
    if fields is not None and not fields[0].nvmlReturn:
        return min(int(fields[0].value.uiVal), NVLINKS_MAX)
    for link in range(NVLINKS_MAX):
        if questions.ask(nvml.nvmlDeviceGetNvLinkState, link) is None:
            return link
    return NVLINKS_MAX


def describe(nvml: Any, board: Board, index: int, given: Collection[str] = ()) -> Accelerator:
    """Return the inventory entry of a board that has given these metrics."""
    questions = Questions(nvml, board.handle)
    ask, text, flag = questions.ask, questions.text, questions.flag
    memory = ask(nvml.nvmlDeviceGetMemoryInfo, nvml.nvmlMemory_v2)
    limits = ask(nvml.nvmlDeviceGetPowerManagementLimitConstraints)
    platform = _platform(nvml, questions)
    thresholds = {
        name: ask(nvml.nvmlDeviceGetTemperatureThreshold, getattr(nvml, kind))
        for name, kind in (
            ("temperature_slowdown_celsius", "NVML_TEMPERATURE_THRESHOLD_SLOWDOWN"),
            ("temperature_shutdown_celsius", "NVML_TEMPERATURE_THRESHOLD_SHUTDOWN"),
            ("temperature_memory_max_celsius", "NVML_TEMPERATURE_THRESHOLD_MEM_MAX"),
        )
    }
    return Accelerator(
        uuid=board.uuid,
        index=index,
        model=text(nvml.nvmlDeviceGetName),
        serial=text(nvml.nvmlDeviceGetSerial),
        board_part_number=text(nvml.nvmlDeviceGetBoardPartNumber),
        vbios_version=text(nvml.nvmlDeviceGetVbiosVersion),
        pci_address=text(lambda handle: nvml.nvmlDeviceGetPciInfo_v3(handle).busId),
        module_id=ask(nvml.nvmlDeviceGetModuleId),
        memory_total_mebibytes=None if memory is None else memory.total // MEBIBYTE,
        power_limit_default_milliwatts=ask(nvml.nvmlDeviceGetPowerManagementDefaultLimit),
        power_limit_max_milliwatts=None if limits is None else limits[1],
        clock_sm_max_megahertz=ask(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM),
        pcie_generation_max=ask(nvml.nvmlDeviceGetMaxPcieLinkGeneration),
        pcie_width_max_lanes=ask(nvml.nvmlDeviceGetMaxPcieLinkWidth),
        nvlinks_count=board.nvlinks,
        mig_enabled=flag(nvml.nvmlDeviceGetMigMode),
        ecc_enabled=flag(nvml.nvmlDeviceGetEccMode),
        persistence_enabled=flag(nvml.nvmlDeviceGetPersistenceMode),
        unsupported=tuple(sorted(board.unsupported.difference(given))),
        inforom_version=text(nvml.nvmlDeviceGetInforomImageVersion),
        **thresholds,
        **_margins(nvml, questions),
        **_fabric(nvml, questions),
        **platform,
    )


def _platform(nvml: Any, questions: Questions) -> dict[str, Any]:
    """Where the board sits, for those that know: racks that NVIDIA builds.

    A board elsewhere answers too, with no chassis and zeroes, which are no place.
    """
    info = nvml.c_nvmlPlatformInfo_v2_t()
    if questions.ask(nvml.nvmlDeviceGetPlatformInfo, ctypes.byref(info)) is None:
        return {}
    chassis = questions.text(lambda _handle: info.chassisSerialNumber)
    if not chassis:
        return {}
    return {
        "chassis_serial": chassis,
        "slot_number": ord(info.slotNumber),
        "tray_index": ord(info.trayIndex),
        "platform_host_id": ord(info.hostId),
    }


def _margins(nvml: Any, questions: Questions) -> dict[str, Any]:
    """Return the thermal headroom at which something happens, on boards that have headroom."""
    entries = questions.ask(nvml.nvmlDeviceGetFieldValues, list(FIELDS_MARGIN.values()))
    if entries is None:
        return {}
    return {
        name: int(entry.value.siVal)
        for name, entry in zip(FIELDS_MARGIN, entries, strict=True)
        if not entry.nvmlReturn
    }


def _fabric(nvml: Any, questions: Questions) -> dict[str, Any]:
    """Return the board's NVLink domain, where it has joined one."""
    info = nvml.c_nvmlGpuFabricInfo_v2_t()
    if questions.ask(nvml.nvmlDeviceGetGpuFabricInfoV, ctypes.byref(info)) is None:
        return {}
    if info.state != nvml.NVML_GPU_FABRIC_STATE_COMPLETED:
        return {}
    return {"fabric_cluster": bytes(info.clusterUuid), "fabric_clique_id": info.cliqueId}
