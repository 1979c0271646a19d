"""NVML's events: Xid, memory errors, recovery actions, as they happen.

Owns one event set for all boards. A lost board spoils the whole set, so the set is built anew
without it, and again now and then to take it back in.
"""

import ctypes
import logging
from collections.abc import Sequence
from typing import Any

from agent.accelerators.nvidia_board import Board
from agent.accelerators.nvidia_verdict import TIMEOUT, Verdict, translate, verdict
from telemetry.clock import Clock
from telemetry.errors import ReadError
from telemetry.records import Detail, Event, EventKind

log = logging.getLogger(__name__)

REJOIN_S = 10.0
# A board that loses a set so soon after it was built would do so again at once.
REBUILD_S_MIN = 0.5
EVENTS_PER_WAIT_MAX = 1000
INSTANCE_NONE = 0xFFFFFFFF

# NVML's event type: our kind, and what tells apart two types of one kind.
KINDS: dict[int, tuple[EventKind, str]] = {
    0x2: (EventKind.ECC_UNCORRECTED, "double_bit_error"),
    0x8: (EventKind.XID, ""),
    0x400: (EventKind.ROW_REMAP, "recorded"),
    0x800: (EventKind.ROW_REMAP, "failed"),
    0x1000: (EventKind.ECC_UNCORRECTED, "poison_contained"),
    0x2000: (EventKind.ECC_UNCORRECTED, "poison_fatal"),
    0x4000: (EventKind.GPU_UNAVAILABLE, ""),
    0x8000: (EventKind.RECOVERY_ACTION, ""),
}
WANTED = sum(KINDS)


def make_event(
    event_type: int, data: int, instances: tuple[int, int], uuid: bytes, time_us: int
) -> Event | None:
    """Return our record of an NVML event, or None for a type that we did not ask for."""
    if event_type not in KINDS:
        return None
    kind, what = KINDS[event_type]
    detail: Detail = {"what": what} if what else {}
    for name, instance in zip(("gpu_instance", "compute_instance"), instances, strict=True):
        if instance != INSTANCE_NONE:
            detail[name] = instance
    code = data if kind in (EventKind.XID, EventKind.RECOVERY_ACTION) else None
    return Event(time_us=time_us, kind=kind, accelerator=uuid, code=code, detail=detail)


class EventWaiter:
    """The event set of all boards that answer. Used by one thread."""

    def __init__(self, nvml: Any, boards: Sequence[Board], clock: Clock) -> None:
        self._nvml = nvml
        self._boards = boards
        self._clock = clock
        self._set: Any = None
        self._registered: dict[int, bytes] = {}
        self._built_s = float("-inf")
        self._answer: Any = nvml.c_nvmlEventData_t()
        self._pointer = ctypes.byref(self._answer)

    def wait(self, timeout_s: float) -> list[Event]:
        """Return the events that there are, waiting for the first one.

        Raises:
            ReadError: no board reports events now; ask again later.
            PermanentError: the driver was replaced.
        """
        self.build_if_due()
        if not self._registered:
            raise ReadError("no board reports events")
        events: list[Event] = []
        wait_ms = round(timeout_s * 1000)
        while len(events) < EVENTS_PER_WAIT_MAX:
            code = self._next(wait_ms)
            if code == TIMEOUT:
                break
            if code:
                self._after_error(self._nvml.NVMLError(code))
                break
            wait_ms = 0
            event = self._decode(self._answer)
            if event is not None:
                events.append(event)
        return events

    def _next(self, wait_ms: int) -> int:
        """Wait for one event, and return NVML's code."""
        try:
            # Through the binding a second without events is an exception.
            call = self._nvml._nvmlGetFunctionPointer("nvmlEventSetWait_v2")  # noqa: SLF001
        except self._nvml.NVMLError as error:
            return int(error.value)
        return int(call(self._set, self._pointer, ctypes.c_uint(wait_ms)))

    def _after_error(self, error: Any) -> None:
        young = self._clock.monotonic_s() - self._built_s < REBUILD_S_MIN
        if verdict(error.value) is Verdict.LOST and not young:
            # What happens until the set is built anew is in the kernel log alone.
            self._free()
            return
        if verdict(error.value) is Verdict.LOST:
            raise ReadError("a lost board spoils each event set") from error
        raise translate(error) from error

    def _decode(self, data: Any) -> Event | None:
        uuid = self._registered.get(self._address(data.device), b"")
        instances = data.gpuInstanceId, data.computeInstanceId
        now_us = self._clock.now_us()
        return make_event(data.eventType, data.eventData, instances, uuid, now_us)

    @staticmethod
    def _address(handle: Any) -> int:
        return ctypes.cast(handle, ctypes.c_void_p).value or 0

    def build_if_due(self) -> None:
        """Build the set when there is none, or when a board was left out for a while.

        What happened before a board is in the set is never told.
        """
        now_s = self._clock.monotonic_s()
        complete = len(self._registered) == len(self._boards)
        if self._set is not None and (complete or now_s - self._built_s < REJOIN_S):
            return
        self._free()
        self._built_s = now_s
        try:
            self._set = self._nvml.nvmlEventSetCreate()
        except self._nvml.NVMLError as error:
            raise translate(error) from error
        for board in self._boards:
            self._register(board)

    def _register(self, board: Board) -> None:
        """Add a board with the types that it knows; leave it out if it cannot be."""
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(board.uuid_text)
            types = nvml.nvmlDeviceGetSupportedEventTypes(handle) & WANTED
            if types:
                nvml.nvmlDeviceRegisterEvents(handle, types, self._set)
                self._registered[self._address(handle)] = board.uuid
        except nvml.NVMLError as error:
            log.info("no events from %s for now: %s", board.uuid_text, error)

    def _free(self) -> None:
        self._registered = {}
        if self._set is None:
            return
        released, self._set = self._set, None
        try:
            self._nvml.nvmlEventSetFree(released)
        except self._nvml.NVMLError as error:
            log.debug("the event set was gone already: %s", error)

    def close(self) -> None:
        """Let go of the set."""
        self._free()
