"""GPU performance monitoring: rates between two samples of a board.

Owns the two samples of each board and the structure that asks for all metrics at once. Hopper and
later have it; it needs no profiling lock, so it gets along with Nsight and DCGM.
"""

import ctypes
import struct
import threading
from math import isfinite
from typing import Any

from agent.accelerators.nvidia_board import Board, Collected
from agent.accelerators.nvidia_sources import GPM
from telemetry.catalogue import CATALOGUE

# Two samples nearer than this give nothing (nvml.h asks for more than 100 ms).
APART_S_MIN = 0.11
# `nvmlGpmMetric_t`: metric id (skipped), NVML's code, value, and three texts that nobody needs.
ENTRY = struct.Struct("@4xId24x")
# Without the binding's conversion of texts, which costs more than the field.
set_field = object.__setattr__
NAMES = tuple(GPM)
FACTORS = tuple(factor for _, factor in GPM.values())
RANGES = tuple((CATALOGUE.by_name[name].minimum, CATALOGUE.by_name[name].maximum) for name in NAMES)
# How long one board waits while another is being sampled: far less than any reading may take, so
# that a board that hangs here does not make the others late.
TURN_WAIT_S = 0.2


class GpmSampler:
    """The rates of one board since it was last asked.

    `turn` is shared by all boards: calls for several at once have crashed in the driver.
    """

    def __init__(self, nvml: Any, board: Board, turn: threading.Lock) -> None:
        self._nvml = nvml
        self._board = board
        self._turn = turn
        self._request: Any = None
        self._pointer: Any = None
        # Kept apart from the request: what ctypes returns for a pointer in a structure is a view
        # of that structure, and swapping two views would make them the same sample.
        self._earlier: Any = None
        self._later: Any = None
        self._answers = memoryview(b"")
        self._taken_s: float | None = None
        self._offered = True

    def forget(self) -> None:
        """Let the last sample not count: the board was lost in between."""
        self._taken_s = None

    def collect(self, collected: Collected, now_s: float) -> None:
        """Add the rates since the last call; the first call, or one too soon, adds nothing."""
        if not self._offered:
            return
        if not self._turn.acquire(timeout=TURN_WAIT_S):
            collected.failed.update(dict.fromkeys(NAMES, "another board's GPM call hangs"))
            return
        try:
            self._collect(collected, now_s)
        except self._nvml.NVMLError as error:
            self.forget()
            collected.refuse(NAMES, error)
            self._offered = not self._board.unsupported.issuperset(NAMES)
        finally:
            self._turn.release()

    def _collect(self, collected: Collected, now_s: float) -> None:
        if self._request is None and not self._prepare():
            return
        request = self._request
        if self._taken_s is not None and now_s - self._taken_s < APART_S_MIN:
            return
        self._take_sample()
        first, self._taken_s = self._taken_s is None, now_s
        if not first:
            set_field(request, "sample1", self._earlier)
            set_field(request, "sample2", self._later)
            self._call("nvmlGpmMetricsGet", self._pointer)
            self._decode(collected)
        self._earlier, self._later = self._later, self._earlier

    def _take_sample(self) -> None:
        """Take a sample of the board, or of the GPU instance; its compute instances share it."""
        instance = self._board.instance
        if instance is None:
            self._call("nvmlGpmSampleGet", self._board.handle, self._later)
        else:
            self._nvml.nvmlGpmMigSampleGet(
                instance.parent.handle, instance.gpu_instance, self._later
            )

    def _call(self, function: str, *given: Any) -> None:
        """Call the library itself: through the binding it costs twice as much."""
        if code := self._nvml._nvmlGetFunctionPointer(function)(*given):  # noqa: SLF001
            raise self._nvml.NVMLError(code)

    def _prepare(self) -> bool:
        """Ask whether the board can do it, and get the samples."""
        nvml, board = self._nvml, self._board
        handle = board.handle if board.instance is None else board.instance.parent.handle
        if not nvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice:
            self._board.unsupported.update(GPM)
            self._offered = False
            return False
        request = nvml.c_nvmlGpmMetricsGet_t()
        request.version = nvml.NVML_GPM_METRICS_GET_VERSION
        self._earlier, self._later = nvml.nvmlGpmSampleAlloc(), nvml.nvmlGpmSampleAlloc()
        for position, (metric_id, _) in enumerate(GPM.values()):
            request.metrics[position].metricId = metric_id
        start = type(request).metrics.offset
        self._answers = memoryview(request).cast("B")[start : start + len(GPM) * ENTRY.size]
        request.numMetrics = len(GPM)
        self._request, self._pointer = request, ctypes.byref(request)
        return True

    def _decode(self, collected: Collected) -> None:
        # Through the binding's own attributes this alone costs as much as all of the calls.
        answers = ENTRY.iter_unpack(self._answers)
        values, told = collected.values, zip(NAMES, FACTORS, RANGES, answers, strict=True)
        for name, factor, (least, most), (code, value) in told:
            if code:
                collected.refuse((name,), self._nvml.NVMLError(code))
            elif not isfinite(value):
                collected.failed[name] = "not a number"
            elif least <= (number := round(value * factor)) <= most:
                values[name] = number
            else:
                collected.failed[name] = f"{number} is out of range"

    def free(self) -> None:
        """Give the samples back; a driver that is gone has taken them already."""
        samples = self._earlier, self._later
        self._answers = memoryview(b"")
        self._request = self._pointer = self._earlier = self._later = None
        for sample in samples:
            if sample is None:
                continue
            try:
                self._nvml.nvmlGpmSampleFree(sample)
            except self._nvml.NVMLError:
                return
