"""From readings to packed ticks.

Owns which metrics travel and how a reading becomes columns. Metrics that no accelerator of the
host offers are left out; one that only failed to read travels as missing. Pure: it asks neither
the driver nor the clock.
"""

from collections.abc import Iterable, Sequence

from agent.accelerators import AcceleratorReading
from agent.drafts import SampleTick
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group, Metric
from telemetry.packing import Packer, Reading
from telemetry.records import Accelerator, ReaderStatus
from telemetry.wire import layout_of

_ANSWERED = (ReaderStatus.WHOLE, ReaderStatus.PARTIAL)


class Sampler:
    """Packs the readings of one host, and remembers what its accelerators do not offer."""

    def __init__(self) -> None:
        self._unsupported: dict[tuple[Group, bytes], frozenset[str]] = {}
        self._layouts: dict[tuple[Group, tuple[frozenset[str], ...]], _Columns] = {}

    def learn(self, accelerators: Iterable[Accelerator]) -> None:
        """Take over what an inventory says about metrics that are not offered."""
        self._unsupported = {
            (group, accelerator.uuid): frozenset(accelerator.unsupported)
            for accelerator in accelerators
            for group in Group
        }
        self._layouts.clear()

    def tick(
        self,
        group: Group,
        time_us: int,
        readings: Sequence[AcceleratorReading],
        *,
        urgent: bool = False,
    ) -> SampleTick:
        """Return the packed tick of at least one reading."""
        columns = self._columns(group, readings)
        rows: list[Reading] = [dict(reading.values) for reading in readings]
        if group is Group.FAST:
            for row, reading in zip(rows, readings, strict=True):
                row["reader_status_code"] = reading.status
                row["read_failures_count"] = len(reading.failed)
        return SampleTick(
            group=group,
            time_us=time_us,
            accelerators=b"".join(reading.uuid for reading in readings),
            layout=columns.layout,
            body=columns.packer.pack([time_us], [rows]),
            urgent=urgent,
        )

    def _columns(self, group: Group, readings: Sequence[AcceleratorReading]) -> "_Columns":
        for reading in readings:
            # One that did not answer says nothing about what it offers: the last answer stands.
            if reading.status in _ANSWERED:
                self._unsupported[group, reading.uuid] = reading.unsupported
        absent = tuple(
            self._unsupported.get((group, reading.uuid), frozenset()) for reading in readings
        )
        columns = self._layouts.get((group, absent))
        if columns is None:
            nowhere = frozenset.intersection(*absent)
            columns = self._layouts[group, absent] = _Columns(
                tuple(m for m in CATALOGUE.group(group) if m.name not in nowhere)
            )
        return columns


class _Columns:
    """The metrics of a message: how they are packed, and themselves as bytes."""

    def __init__(self, metrics: tuple[Metric, ...]) -> None:
        self.packer = Packer(metrics)
        self.layout = layout_of(metrics)
