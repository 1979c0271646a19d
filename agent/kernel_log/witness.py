"""The kernel log's faults as events of the accelerators they happened to.

Owns the settings, which board sits at which address, and when a line happened. A board that is
gone keeps its address until another one is there, since its last line often comes after NVML has
forgotten it.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from agent.kernel_log.device import KernelLogDevice
from agent.kernel_log.faults import BoardName, KernelFault, parse_line
from agent.kernel_log.pci_address import normalise
from agent.kernel_log.position import Position, read_boot_id
from agent.kernel_log.record import KernelRecord, parse_record
from telemetry.clock import Clock
from telemetry.records import Accelerator, Detail, Event

log = logging.getLogger(__name__)

WITNESS = "kernel_log"
# A first start tells what the log still has of the last day, not of a whole uptime.
LOOKBACK_US = 86_400 * 1_000_000
BOARDS_MAX = 1024
MARKS = (b"NVRM: ", b"nvidia-nvswitch")


@dataclass(frozen=True, kw_only=True)
class KernelLogSettings:
    """What the agent may read of the kernel log."""

    kernel_log_path: Annotated[
        str,
        Meta(description="kernel log with the driver's own fault lines; empty: not read"),
    ] = "/dev/kmsg"
    kernel_log_position_path: Annotated[
        str,
        Meta(description="file that remembers how far the kernel log was read; empty: none"),
    ] = "/var/lib/fleetgauge/kernel_log.json"


class KernelLogWitness:
    """Reads the kernel log. Used by one thread, except for `know` and `wake`.

    Args:
        boot_id: names the boot that the sequence numbers belong to.
    """

    def __init__(self, settings: KernelLogSettings, clock: Clock, boot_id: str = "") -> None:
        stored = settings.kernel_log_position_path
        self._clock = clock
        self._device = KernelLogDevice(Path(settings.kernel_log_path), clock)
        self._position = Position.load(Path(stored) if stored else None, boot_id or read_boot_id())
        self._boards: dict[str, bytes] = {}
        self._driver_major: int | None = None
        self._counts: Counter[str] = Counter()
        self._newest = -1

    @property
    def counters(self) -> dict[str, int]:
        """What was counted since start, by name, for the heartbeat."""
        return {
            "kernel_log_faults": self._counts["faults"],
            "kernel_log_overruns": self._device.overruns,
            "kernel_log_failures": self._device.failures,
        }

    def know(self, accelerators: Sequence[Accelerator], driver_version: str = "") -> None:
        """Learn which board sits where, from an inventory."""
        # An instance sits at the address of its board, and the driver tells of the board.
        whole = [entry for entry in accelerators if not entry.parent]
        found = {normalise(entry.pci_address): entry.uuid for entry in whole}
        found.pop("", None)
        # Replaced, not changed: another thread may be looking.
        self._boards = self._boards | found
        major = driver_version.partition(".")[0]
        self._driver_major = int(major) if major.isascii() and major.isdigit() else None

    def wait(self, timeout_s: float) -> list[Event]:
        """Return what the kernel log reports, as soon as it does. Never raises for the log."""
        return self.take(self._device.read(timeout_s))

    def wake(self) -> None:
        """Let `wait` return at once; from any thread."""
        self._device.wake()

    def take(self, lines: Iterable[bytes]) -> list[Event]:
        """Return the events of raw records, each once."""
        events: list[Event] = []
        for line in lines:
            if not any(mark in line for mark in MARKS):
                continue
            record = parse_record(line)
            if record is None or not record.from_kernel or record.sequence <= self._newest:
                continue
            self._newest = record.sequence
            event = self._event(record)
            if event is not None:
                events.append(event)
        return events

    def remember(self) -> None:
        """Note that every event returned so far is safe, so that a restart does not repeat it."""
        if self._newest > self._position.sequence:
            self._position.sequence = self._newest
            self._position.save()

    def close(self) -> None:
        """Let go of the file."""
        self._device.close()

    def _event(self, record: KernelRecord) -> Event | None:
        fault = parse_line(record.text, self._driver_major)
        if isinstance(fault, BoardName):
            self._name(fault)
            return None
        time_us, age_us = self._time_of(record)
        if fault is None or record.sequence <= self._position.sequence or age_us > LOOKBACK_US:
            return None
        self._counts["faults"] += 1
        return self._make_event(fault, record, time_us)

    def _name(self, board: BoardName) -> None:
        """Keep the driver's own note, where no inventory has said it."""
        if board.pci_address not in self._boards and len(self._boards) < BOARDS_MAX:
            try:
                uuid = UUID(board.uuid_text.removeprefix("GPU-")).bytes
            except ValueError:
                return
            self._boards = self._boards | {board.pci_address: uuid}

    def _time_of(self, record: KernelRecord) -> tuple[int, int]:
        """Wall time of a record and its age, both in microseconds.

        The kernel stamps with its monotonic clock, which a wall-clock step does not move.
        """
        age_us = max(0, round(self._clock.monotonic_s() * 1e6) - record.since_boot_us)
        return max(0, self._clock.now_us() - age_us), age_us

    def _make_event(self, fault: KernelFault, record: KernelRecord, time_us: int) -> Event:
        detail: Detail = {"witness": WITNESS, "kernel_log_sequence": record.sequence}
        if fault.pci_address:
            detail["pci_address"] = fault.pci_address
        return Event(
            time_us=time_us,
            kind=fault.kind,
            accelerator=self._boards.get(fault.pci_address, b""),
            code=fault.code,
            message=fault.message,
            detail=detail | fault.detail,
        )
