"""Fixtures: a libnvidia-ml built with the compiler against NVIDIA's header, and what it answers.

The answers are those of a simulated driver at one moment, so what the reader says over the one must
be what it says over the other.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.accelerators import AcceleratorReading, Inspection
from agent.accelerators.nvidia_identity import FIELD_NVLINK_COUNT, FIELDS_MARGIN
from agent.accelerators.nvidia_sources import FIELDS, GPM, LINK_FIELDS
from telemetry.records import Event

SOURCE = Path(__file__).parent / "data" / "nvml" / "answers.c"
READER = Path(__file__).parent / "c_library_reader.py"
LIBRARY = "libnvidia-ml.so.1"
READ_S_MAX = 60.0

TEXTS = (
    "nvmlDeviceGetName", "nvmlDeviceGetUUID", "nvmlDeviceGetSerial", "nvmlDeviceGetBoardPartNumber",
    "nvmlDeviceGetVbiosVersion", "nvmlDeviceGetInforomImageVersion",
)  # fmt: skip
NUMBERS = (
    "nvmlDeviceGetModuleId", "nvmlDeviceGetPersistenceMode", "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetPowerManagementDefaultLimit", "nvmlDeviceGetPerformanceState",
    "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrPcieLinkGeneration",
    "nvmlDeviceGetCurrPcieLinkWidth", "nvmlDeviceGetMaxPcieLinkGeneration",
    "nvmlDeviceGetMaxPcieLinkWidth", "nvmlDeviceGetSupportedEventTypes",
    "nvmlDeviceGetMarginTemperature", "nvmlDeviceGetUnrepairableMemoryFlag_v1",
)  # fmt: skip
LISTS = (
    "nvmlDeviceGetEccMode", "nvmlDeviceGetMigMode", "nvmlDeviceGetEncoderUtilization",
    "nvmlDeviceGetPowerManagementLimitConstraints", "nvmlDeviceGetDecoderUtilization",
    "nvmlDeviceGetJpgUtilization", "nvmlDeviceGetOfaUtilization", "nvmlDeviceGetRemappedRows",
    "nvmlDeviceGetRepairStatus",
)  # fmt: skip
CHOICES = {
    "nvmlDeviceGetClockInfo": range(4),
    "nvmlDeviceGetMaxClockInfo": range(4),
    "nvmlDeviceGetTemperatureThreshold": range(4),
}
Answers = dict[str, object]
BuildLibrary = Callable[..., Path]


class Said(msgspec.Struct):
    """What the reader said over the library."""

    inspection: Inspection | None = None
    readings: list[list[AcceleratorReading]] = []
    events: list[Event] = []
    error: str = ""
    why: str = ""


def header_folder() -> Path:
    """Return where nvml.h is; skips where it or a compiler is not there."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed, so no library can be built")
    try:
        files = importlib.metadata.files("nvidia-nvml-dev") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("nvml.h is not installed (PyPI: nvidia-nvml-dev)")
    [header] = [file for file in files if file.name == "nvml.h"]
    return Path(str(header.locate())).parent


@pytest.fixture(scope="session")
def build_library(tmp_path_factory: pytest.TempPathFactory) -> BuildLibrary:
    """Build the library, with these macros defined; return its folder, for the loader's path."""

    def build(*macros: str) -> Path:
        folder = tmp_path_factory.mktemp("nvml")
        defined = [f"-D{macro}" for macro in macros]
        warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-deprecated-declarations"]
        command = ["gcc", *warnings, *defined, "-shared", "-fPIC", f"-I{header_folder()}"]
        subprocess.run([*command, "-o", str(folder / LIBRARY), str(SOURCE)], check=True)
        return folder

    return build


@pytest.fixture(scope="session")
def c_library(build_library: BuildLibrary) -> Path:
    return build_library()


@pytest.fixture
def ask_c_library(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the reader in a process of its own over the library in `folder`, with these answers."""
    started: list[subprocess.Popen[bytes]] = []

    def ask(folder: Path, answers: Answers, events: int = 0) -> subprocess.Popen[bytes]:
        path = tmp_path / f"answers-{len(started)}"
        path.write_text("".join(f"{key} {value}\n" for key, value in answers.items()))
        environment = os.environ | {"LD_LIBRARY_PATH": str(folder), "NVML_ANSWERS": str(path)}
        command = [sys.executable, str(READER), str(events)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        started.append(process)
        return process

    yield ask
    for process in started:
        process.kill()
        process.communicate()


def heard(process: subprocess.Popen[bytes]) -> Said:
    """Return what a process has said at its end."""
    out, _ = process.communicate(timeout=READ_S_MAX)
    assert process.returncode == 0
    return msgspec.json.decode(out, type=Said)


def answers_of_host(nvml: Any, values: dict[str, int]) -> Answers:
    """Return what a driver says now, as the library's answers; `values` are of board 0's GPM."""
    count = nvml.nvmlDeviceGetCount()
    answers: Answers = {
        "-1.count": count,
        "-1.driver": nvml.nvmlSystemGetDriverVersion(),
        "-1.library": nvml.nvmlSystemGetNVMLVersion(),
    }
    for board in range(count):
        told = _answers_of_board(nvml, nvml.nvmlDeviceGetHandleByIndex(board))
        told |= {f"gpm.{number}": values[name] / factor for name, (number, factor) in GPM.items()}
        answers |= {f"{board}.{key}": value for key, value in told.items()}
    return answers


def _answers_of_board(nvml: Any, handle: Any) -> Answers:
    told: Answers = {"gpm": 1}
    for name in TEXTS + NUMBERS:
        told[name] = getattr(nvml, name)(handle)
    for name in LISTS:
        told |= {f"{name}.{at}": value for at, value in enumerate(getattr(nvml, name)(handle))}
    for name, choices in CHOICES.items():
        told |= {f"{name}.{choice}": getattr(nvml, name)(handle, choice) for choice in choices}
    for kind in (0, 1):
        for counter in (0, 1):
            total = nvml.nvmlDeviceGetTotalEccErrors(handle, kind, counter)
            told[f"nvmlDeviceGetTotalEccErrors.{kind}.{counter}"] = total
            dram = nvml.nvmlDeviceGetMemoryErrorCounter(handle, kind, counter, 2)
            told[f"nvmlDeviceGetMemoryErrorCounter.{kind}.{counter}.2"] = dram
    told["nvmlDeviceGetTemperatureV"] = nvml.nvmlDeviceGetTemperatureV(handle, 0)
    told["nvmlDeviceGetPciInfo_v3.busId"] = nvml.nvmlDeviceGetPciInfo_v3(handle).busId
    running = nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
    told["nvmlDeviceGetComputeRunningProcesses_v3.count"] = len(running)
    for at, process in enumerate(running):
        told[f"nvmlDeviceGetComputeRunningProcesses_v3.{at}"] = process.pid
        told[f"nvmlDeviceGetComputeRunningProcesses_v3.{at}.memory"] = process.usedGpuMemory
    return told | _structures(nvml, handle) | _fields(nvml, handle)


def _structures(nvml: Any, handle: Any) -> Answers:
    sram, place = nvml.c_nvmlEccSramErrorStatus_v1_t(), nvml.c_nvmlPlatformInfo_v2_t()
    fabric = nvml.c_nvmlGpuFabricInfo_v3_t()
    nvml.nvmlDeviceGetSramEccErrorStatus(handle, nvml.byref(sram))
    nvml.nvmlDeviceGetPlatformInfo(handle, nvml.byref(place))
    nvml.nvmlDeviceGetGpuFabricInfoV(handle, nvml.byref(fabric))
    found: Answers = {}
    for name, structure in {
        "nvmlDeviceGetUtilizationRates": nvml.nvmlDeviceGetUtilizationRates(handle),
        "nvmlDeviceGetMemoryInfo_v2": nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2),
        "nvmlDeviceGetBAR1MemoryInfo": nvml.nvmlDeviceGetBAR1MemoryInfo(handle),
        "nvmlDeviceGetRowRemapperHistogram": nvml.nvmlDeviceGetRowRemapperHistogram(handle),
        "nvmlDeviceGetSramEccErrorStatus": sram,
        "nvmlDeviceGetPlatformInfo": place,
        "nvmlDeviceGetGpuFabricInfoV": fabric,
    }.items():
        for member, *_ in structure._fields_:
            value = getattr(structure, member)
            if member == "clusterUuid":
                value = bytes(value).hex()
            elif isinstance(value, bytes) and len(value) == 1:
                value = ord(value)
            if isinstance(value, int) or (isinstance(value, str) and value):
                found[f"{name}.{member}"] = value
    return found


def _fields(nvml: Any, handle: Any) -> Answers:
    links = nvml.nvmlDeviceGetFieldValues(handle, [FIELD_NVLINK_COUNT])[0].value.uiVal
    asked = [(field, 0) for fields in FIELDS.values() for field in fields.values()]
    asked += [(field, 0) for field in (FIELD_NVLINK_COUNT, *FIELDS_MARGIN.values())]
    asked += [(field, link) for field, _ in LINK_FIELDS.values() for link in range(links)]
    members = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
    return {
        f"field.{entry.fieldId}.{entry.scopeId}": (
            f"{entry.valueType} {getattr(entry.value, members[entry.valueType])}"
        )
        for entry in nvml.nvmlDeviceGetFieldValues(handle, asked)
        if not entry.nvmlReturn
    }
