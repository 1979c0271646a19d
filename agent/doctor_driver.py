"""What the driver and its boards can say, asked once.

Owns the findings about accelerators: the driver, each board, each group of metrics, events. It
asks through the same reader as the agent, so what it finds is what the agent will find.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from agent.accelerators import AcceleratorReader, AcceleratorReading, Inspection
from agent.doctor import Finding, NoAnswer, fail, ok, warn, within
from telemetry.errors import PermanentError, ReadError, RetryableError
from telemetry.metrics import Group
from telemetry.records import ReaderStatus

OPEN_DEADLINE_S = 20.0
READ_DEADLINE_S = 3.0
WARM_UP_S = 0.3
NAMES_SHOWN_MAX = 6

# What the driver's own words mean for whoever reads them on the host.
REMEDIES = {
    "Shared Library Not Found": "install the NVIDIA driver (libnvidia-ml.so.1); in a container, "
    "use the NVIDIA runtime with NVIDIA_DRIVER_CAPABILITIES=utility",
    "Driver Not Loaded": "load the kernel module (`modprobe nvidia`) and look for errors in dmesg",
    "Insufficient Permissions": "let this user open /dev/nvidiactl and /dev/nvidia*",
    "Version mismatch": "the library is not of the loaded kernel module: reboot, or reload it",
    "Unknown Error": "look for Xid lines in dmesg, and whether /dev/nvidia* are there",
}
REMEDY = "run nvidia-smi on this host and look at what it says"


def _pause() -> None:
    time.sleep(WARM_UP_S)


def check_driver(
    reader: AcceleratorReader,
    pause: Callable[[], None] = _pause,
    deadline_s: float = READ_DEADLINE_S,
) -> Iterator[Finding]:
    """Yield findings about the driver and everything behind it; the reader is closed at the end.

    Args:
        reader: as the agent uses it.
        pause: lets some time pass between two readings, which activity counters need.
        deadline_s: what a board may take to answer; one that takes longer is not asked again.
    """
    try:
        inspection = within(max(deadline_s, OPEN_DEADLINE_S), reader.open)
    except (RetryableError, PermanentError) as error:
        words = str(error)
        remedy = next((text for part, text in REMEDIES.items() if part in words), REMEDY)
        yield fail("driver", words, remedy)
        return
    except NoAnswer as error:
        yield fail("driver", f"hangs: {error}", "reset the GPUs or reboot; look in dmesg first")
        return
    yield from _check_count(inspection)
    boards = [_Board(reader, at, deadline_s) for at in range(len(inspection.accelerators))]
    for board in boards:
        board.read(Group.FAST)
    pause()
    for entry, board in zip(inspection.accelerators, boards, strict=True):
        readings = [reading for group in Group if (reading := board.read(group)) is not None]
        yield _judge(f"GPU {entry.index}", f"{entry.model} at {entry.pci_address}", board, readings)
    for group in Group:
        told = [board.last[group] for board in boards if group in board.last]
        if told:
            yield _judge_group(group, told)
    yield _check_events(reader, deadline_s)
    # A driver that hangs would hang this too; the end of the process closes it.
    with suppress(NoAnswer):
        within(deadline_s, reader.close)


def _check_count(inspection: Inspection) -> Iterator[Finding]:
    count = len(inspection.accelerators)
    version = f"version {inspection.driver_version} answers"
    if count or inspection.missing:
        yield ok("driver", f"{version}, {count} GPUs")
    else:
        yield fail("driver", f"{version}, without a GPU", "look for the boards with lspci")
    for index in inspection.missing:
        yield fail(f"GPU {index}", "is counted but does not answer", "look for Xid 79 in dmesg")


class _Board:
    """One board under examination: never asked again once it did not answer."""

    def __init__(self, reader: AcceleratorReader, position: int, deadline_s: float) -> None:
        self.hangs = ""
        self.last: dict[Group, AcceleratorReading] = {}
        self._reader = reader
        self._position = position
        self._deadline_s = deadline_s

    def read(self, group: Group) -> AcceleratorReading | None:
        """Return a reading, or None from a board that hangs."""
        if self.hangs:
            return None
        try:
            self.last[group] = within(
                self._deadline_s, lambda: self._reader.read(self._position, group)
            )
        except NoAnswer as error:
            self.hangs = str(error)
            self.last.clear()
            return None
        return self.last[group]


def _judge(
    subject: str, board: str, examined: _Board, readings: list[AcceleratorReading]
) -> Finding:
    if examined.hangs:
        step = "drain and reset it; look in dmesg first"
        return fail(subject, f"{board} hangs: {examined.hangs}", step)
    statuses = {reading.status for reading in readings}
    if ReaderStatus.LOST in statuses:
        return fail(subject, f"{board} is lost", "look for Xid 79 in dmesg; reset it or reboot")
    if ReaderStatus.DRIVER_MISMATCH in statuses:
        return fail(subject, f"{board}: the driver was replaced", "run this again")
    read = sum(len(reading.values) for reading in readings)
    failed = sum(len(reading.failed) for reading in readings)
    if failed:
        return warn(subject, f"{board}: {read} metrics, {failed} failed", "see the groups below")
    if not read:
        return fail(subject, f"{board} gives no metric", REMEDY)
    return ok(subject, f"{board}: {read} metrics")


def _judge_group(group: Group, readings: list[AcceleratorReading]) -> Finding:
    subject = f"{group.value} metrics"
    read = {name for reading in readings for name in reading.values}
    failed = {name: why for reading in readings for name, why in reading.failed.items()}
    unsupported = {name for reading in readings for name in reading.unsupported}
    sentence = f"{len(read)} read"
    if unsupported:
        sentence += f"; not offered by this board or driver: {_names(unsupported)}"
    if failed:
        why = "; ".join(sorted(set(failed.values()))[:3])
        return warn(subject, f"{sentence}; failed: {_names(failed)}", f"the driver says: {why}")
    return ok(subject, sentence)


def _names(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = len(listed) - NAMES_SHOWN_MAX
    return ", ".join(listed[:NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def _check_events(reader: AcceleratorReader, deadline_s: float) -> Finding:
    step = "the kernel log is then the only witness of an Xid"
    try:
        within(deadline_s, lambda: reader.wait_events(0.0))
    except (ReadError, PermanentError) as error:
        return warn("events", f"the driver reports none: {error}", step)
    except NoAnswer as error:
        return warn("events", f"the wait for them hangs: {error}", step)
    return ok("events", "the driver reports Xids as they happen")
