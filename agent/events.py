"""What has happened, told from what was read before and now.

Owns the comparison of one tick with the one before: accelerators lost and back, a driver that
hangs, answers again or is another one, a wall clock that was set, a board that wants a repair.
Xids come from the driver by themselves (`Driver.wait_events`). Pure: times are passed in.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from agent.accelerators import AcceleratorReading, Inspection
from telemetry.records import Accelerator, Event, EventKind, ReaderStatus

HUNG_AFTER_S = 3.0
CLOCK_STEP_US = 1_000_000

_ANSWERED = (ReaderStatus.WHOLE, ReaderStatus.PARTIAL)
# Slow metrics whose change to another value than 0 is an event by itself.
_REPAIRS = {
    "recovery_action_code": (EventKind.RECOVERY_ACTION, "the driver asks for a recovery action"),
    "remap_pending_flag": (EventKind.ROW_REMAP, "a row remap waits for a reset"),
    "remap_failed_flag": (EventKind.ROW_REMAP, "a row remap failed"),
    "unrepairable_memory_flag": (EventKind.ROW_REMAP, "the board has memory beyond repair"),
    "sram_threshold_exceeded_flag": (
        EventKind.ECC_UNCORRECTED,
        "on-chip memory has more errors than NVIDIA allows",
    ),
}


class Watch:
    """Remembers the last tick of one host."""

    def __init__(self, driver_version: str = "", accelerators: Iterable[Accelerator] = ()) -> None:
        self._driver_version = driver_version
        self._statuses = {accelerator.uuid: ReaderStatus.WHOLE for accelerator in accelerators}
        self._repairs: dict[tuple[bytes, str], int] = {}
        self._silent_since_s: float | None = None
        self._hung = False
        self._offset_us: int | None = None

    def opened(self, inspection: Inspection, time_us: int) -> list[Event]:
        """What the opening of the driver tells."""
        events = []
        version = inspection.driver_version
        if self._driver_version and version != self._driver_version:
            events.append(
                Event(
                    time_us=time_us,
                    kind=EventKind.DRIVER_CHANGED,
                    message=f"driver {self._driver_version} became {version}",
                    detail={"before": self._driver_version, "now": version},
                )
            )
        self._driver_version = version
        return events

    def clock(self, time_us: int, monotonic_s: float) -> list[Event]:
        """Whether the wall clock was set since the last tick."""
        offset_us = time_us - int(monotonic_s * 1e6)
        before, self._offset_us = self._offset_us, offset_us
        if before is None or abs(offset_us - before) < CLOCK_STEP_US:
            return []
        step_s = (offset_us - before) / 1e6
        return [
            Event(
                time_us=time_us,
                kind=EventKind.CLOCK_STEPPED,
                message=f"the wall clock was set by {step_s:+.1f} s",
                detail={"step_s": step_s},
            )
        ]

    def fast(
        self, readings: Sequence[AcceleratorReading], time_us: int, now_s: float, silence: str
    ) -> list[Event]:
        """What a fast reading tells against the one before; `silence` says why none answers."""
        events = []
        for reading in readings:
            before = self._statuses.get(reading.uuid)
            # No answer says neither that a board is lost nor that it is back.
            if reading.status not in (ReaderStatus.LOST, *_ANSWERED):
                continue
            self._statuses[reading.uuid] = reading.status
            if reading.status is ReaderStatus.LOST and before is not ReaderStatus.LOST:
                events.append(_moved(reading.uuid, EventKind.GPU_LOST, time_us))
            elif reading.status in _ANSWERED and before is ReaderStatus.LOST:
                events.append(_moved(reading.uuid, EventKind.GPU_BACK, time_us))
        return events + self._driver(silence, time_us=time_us, now_s=now_s)

    def slow(self, readings: Sequence[AcceleratorReading], time_us: int) -> list[Event]:
        """What a slow reading tells: a repair that the driver newly asks for."""
        events = []
        for reading in readings:
            for name, (kind, message) in _REPAIRS.items():
                value = reading.values.get(name)
                if value is None:
                    continue
                before = self._repairs.get((reading.uuid, name), 0)
                self._repairs[reading.uuid, name] = value
                if value not in (0, before):
                    events.append(
                        Event(
                            time_us=time_us,
                            kind=kind,
                            accelerator=reading.uuid,
                            code=value,
                            message=message,
                            detail={"metric": name, "before": before},
                        )
                    )
        return events

    def _driver(self, silence: str, *, time_us: int, now_s: float) -> list[Event]:
        if not silence:
            self._silent_since_s = None
            if not self._hung:
                return []
            self._hung = False
            return [
                Event(time_us=time_us, kind=EventKind.DRIVER_BACK, message="the driver answers")
            ]
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        if self._hung or now_s - self._silent_since_s < HUNG_AFTER_S:
            return []
        self._hung = True
        return [Event(time_us=time_us, kind=EventKind.DRIVER_HUNG, message=silence[:1024])]


def _moved(uuid: bytes, kind: EventKind, time_us: int) -> Event:
    words = "no longer answers" if kind is EventKind.GPU_LOST else "answers again"
    return Event(
        time_us=time_us, kind=kind, accelerator=uuid, message=f"GPU-{UUID(bytes=uuid)} {words}"
    )
