"""What is asked of every board every second, bound once so that a second costs as little as it can.

Owns the table of those calls and, for each board, the compiled form of it: library functions found,
arguments and answers allocated, all answers in one buffer that is unpacked in one go. What a board
does not offer is no longer in it. Errors and ranges mean what they mean in `nvidia_board`.
"""

import ctypes
import struct
from typing import Any, NamedTuple

from agent.accelerators.nvidia_board import Board, Collected
from telemetry.catalogue import CATALOGUE

# Answers begin at multiples of this, as the largest number in any of them wants.
ALIGNMENT_BYTES = 8
UUID_BYTES_MAX = 96


class Direct(NamedTuple):
    """One library function and the metrics that its answer holds.

    Attributes:
        metrics: in the order in which they stand in the answer.
        function: name in the library.
        answer: name of the binding's structure, or a ctypes number.
        layout: of the answer for `struct`, standard sizes; what is no metric is skipped.
        stated: fields that the structure must state beforehand, names of the binding's constants.
        kind: constant of the binding that is passed between handle and answer, or empty.
        period: whether a second number comes back, the period of the average, which nobody needs.
        shift: bits by which the answer is too fine.
    """

    metrics: tuple[str, ...]
    function: str
    answer: Any
    layout: str
    stated: tuple[tuple[str, str], ...] = ()
    kind: str = ""
    period: bool = False
    shift: int = 0


def _engine(metric: str, function: str) -> Direct:
    return Direct((metric,), function, ctypes.c_uint, "I", period=True)


def _clock(metric: str, kind: str) -> Direct:
    return Direct((metric,), "nvmlDeviceGetClockInfo", ctypes.c_uint, "I", kind=kind)


DIRECT = (
    Direct(
        ("utilization_gpu_percent", "utilization_memory_percent"),
        "nvmlDeviceGetUtilizationRates",
        "c_nvmlUtilization_t",
        "II",
    ),
    _engine("utilization_encoder_percent", "nvmlDeviceGetEncoderUtilization"),
    _engine("utilization_decoder_percent", "nvmlDeviceGetDecoderUtilization"),
    _engine("utilization_jpeg_percent", "nvmlDeviceGetJpgUtilization"),
    _engine("utilization_ofa_percent", "nvmlDeviceGetOfaUtilization"),
    Direct(  # Version 2 does not count what the driver reserves.
        ("memory_used_mebibytes",),
        "nvmlDeviceGetMemoryInfo_v2",
        "c_nvmlMemory_v2_t",
        "32xQ",
        stated=(("version", "nvmlMemory_v2"),),
        shift=20,
    ),
    Direct(
        ("temperature_gpu_celsius",),
        "nvmlDeviceGetTemperatureV",
        "c_nvmlTemperature_v1_t",
        "8xi",
        stated=(("version", "nvmlTemperature_v1"), ("sensorType", "NVML_TEMPERATURE_GPU")),
    ),
    Direct(
        ("temperature_margin_celsius",),
        "nvmlDeviceGetMarginTemperature",
        "c_nvmlMarginTemperature_v1_t",
        "4xi",
        stated=(("version", "nvmlMarginTemperature_v1"),),
    ),
    _clock("clock_sm_megahertz", "NVML_CLOCK_SM"),
    _clock("clock_memory_megahertz", "NVML_CLOCK_MEM"),
    _clock("clock_video_megahertz", "NVML_CLOCK_VIDEO"),
    Direct(
        ("clock_event_reasons_bitmask",),
        "nvmlDeviceGetCurrentClocksEventReasons",
        ctypes.c_ulonglong,
        "Q",
    ),
    Direct(("performance_state_code",), "nvmlDeviceGetPerformanceState", ctypes.c_uint, "I"),
)


class DirectCalls:
    """The direct calls of one board. Used by one thread at a time."""

    def __init__(self, nvml: Any, board: Board) -> None:
        self._nvml = nvml
        self._board = board
        self._handle: Any = None
        self._refused = -1
        self._steps: list[tuple[Any, tuple[Any, ...], tuple[str, ...]]] = []
        self._metrics: list[tuple[str, int, int, int]] = []
        self._answers = struct.Struct("")
        self._buffer = bytearray()
        self._asked = b""
        self._uuid: Any = ctypes.create_string_buffer(UUID_BYTES_MAX)
        self._expected = board.uuid_text.encode()
        self._identify: tuple[Any, tuple[Any, ...]] | None = None

    def collect(self, collected: Collected) -> None:
        """Ask everything that the board has not yet said no to.

        Raises:
            DeviceLost: the board is lost.
            PermanentError: the driver was replaced.
        """
        if self._refused != len(self._board.unsupported) or self._handle is not self._board.handle:
            self._compile()
        # Anew each time: what the driver does not fill must not be the answer before.
        self._buffer[:] = self._asked
        refusals = [(names, code) for call, given, names in self._steps if (code := call(*given))]
        without: set[str] = set()
        for names, code in refusals:
            without.update(names)
            collected.refuse(names, self._nvml.NVMLError(code))
        values, failed = collected.values, collected.failed
        numbers = self._answers.unpack_from(self._buffer)
        for (name, least, most, shift), number in zip(self._metrics, numbers, strict=True):
            value = number >> shift
            if name in without:
                continue
            if least <= value <= most:
                values[name] = value
            else:
                failed[name] = f"{value} is out of range"

    def is_there(self) -> bool:
        """Whether the handle still leads to this board: another may sit in its place.

        Raises:
            NVMLError: the driver does not say.
        """
        if self._identify is None or self._identify[1][0] is not self._board.handle:
            given = (self._board.handle, self._uuid, ctypes.c_uint(UUID_BYTES_MAX))
            self._identify = self._bind("nvmlDeviceGetUUID"), given
        call, given = self._identify
        if code := call(*given):
            raise self._nvml.NVMLError(code)
        return bool(self._uuid.value == self._expected)

    def _bind(self, function: str) -> Any:
        """Return a function of the library; NVMLError where the driver does not have it."""
        # The binding's own calls look it up and allocate their answers each time, which costs
        # several times what the call does.
        return self._nvml._nvmlGetFunctionPointer(function)  # noqa: SLF001

    def _compile(self) -> None:
        nvml, board = self._nvml, self._board
        found: list[tuple[Direct, Any]] = []
        for direct in DIRECT:
            if board.unsupported.issuperset(direct.metrics):
                continue
            try:
                found.append((direct, self._bind(direct.function)))
            except nvml.NVMLError as error:
                Collected(board).refuse(direct.metrics, error)
        layouts = [
            f"{d.layout}{-struct.calcsize('=' + d.layout) % ALIGNMENT_BYTES}x" for d, _ in found
        ]
        self._answers = struct.Struct("=" + "".join(layouts))
        self._buffer = bytearray(self._answers.size)
        at, self._steps, self._metrics = 0, [], []
        for (direct, function), layout in zip(found, layouts, strict=True):
            kind = direct.answer
            answer = (getattr(nvml, kind) if isinstance(kind, str) else kind).from_buffer(
                self._buffer, at
            )
            for name, constant in direct.stated:
                setattr(answer, name, getattr(nvml, constant))
            between = (ctypes.c_uint(getattr(nvml, direct.kind)),) if direct.kind else ()
            behind = (ctypes.byref(ctypes.c_uint()),) if direct.period else ()
            given = (board.handle, *between, ctypes.byref(answer), *behind)
            self._steps.append((function, given, direct.metrics))
            for name in direct.metrics:
                metric = CATALOGUE.by_name[name]
                self._metrics.append((name, metric.minimum, metric.maximum, direct.shift))
            at += struct.calcsize("=" + layout)
        self._asked = bytes(self._buffer)
        self._handle, self._refused = board.handle, len(board.unsupported)
