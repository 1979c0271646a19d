"""The latest readings as Prometheus text, under the names that existing boards know.

Owns names, units, labels and escaping. Where dcgm-exporter has a metric, it is given with that
name, unit and labels; all else is `fleetgauge_…` in base units. What was not read is absent, never
0, and an old reading is absent as well; `fleetgauge_reading_age_seconds` tells why. Serving it is
`exposition_server.py`'s business.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from agent.accelerators import AcceleratorReading
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group, Kind, Metric
from telemetry.records import Accelerator, Event, EventKind, Heartbeat, Inventory

# dcgm-exporter's units, as its counter files document them, where they are not the driver's own:
# watts and ratios. Energy stays in millijoules and throttled time in nanoseconds.
# https://github.com/NVIDIA/dcgm-exporter/blob/main/etc/dcp-metrics-included.csv
DCGM_FACTORS = {"_milliwatts": 1e-3, "_permille": 1e-3}
# Prometheus' base units, by the ending of a catalogue name.
BASE_UNITS = {
    "_mebibytes_per_second": ("_bytes_per_second", 1 << 20),
    "_mebibytes": ("_bytes", 1 << 20),
    "_megahertz": ("_hertz", 10**6),
    "_milliwatts": ("_watts", 1e-3),
    "_millijoules": ("_joules", 1e-3),
    "_nanoseconds": ("_seconds", 1e-9),
    "_permille": ("_ratio", 1e-3),
    "_percent": ("_ratio", 1e-2),
    "_count": ("", 1),
}
READINGS_OLD_AFTER = 3  # intervals

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ExposedMetric:
    """How a metric of the catalogue is called and scaled here."""

    metric: Metric
    name: str
    kind: str
    factor: float
    help: str


def exposed(metric: Metric) -> ExposedMetric:
    """Return the name, type and factor under which a metric is exposed."""
    kind = "counter" if metric.kind is Kind.COUNTER else "gauge"
    if metric.dcgm is not None:
        factor = next((f for end, f in DCGM_FACTORS.items() if metric.name.endswith(end)), 1)
        return ExposedMetric(metric, metric.dcgm, kind, factor, metric.sentence)
    name, factor = metric.name, 1
    for end, (base, base_factor) in BASE_UNITS.items():
        if name.endswith(end):
            name, factor = name.removesuffix(end) + base, base_factor
            break
    suffix = "_total" if kind == "counter" else ""
    return ExposedMetric(metric, f"fleetgauge_{name}{suffix}", kind, factor, metric.sentence)


EXPOSED = tuple(exposed(metric) for metric in CATALOGUE.metrics)


def escape_label(text: str) -> str:
    """Return a label's value as it may stand between quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def escape_help(text: str) -> str:
    """Return a help text as it may stand on its line."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def show(value: float) -> str:
    """Return a number: exact for integers, without the noise of a factor else."""
    return str(value) if isinstance(value, int) else f"{value:.12g}"


@dataclass(slots=True)
class _Family:
    """All series of one name."""

    name: str
    kind: str
    help: str
    series: list[tuple[Labels, float]] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        if not self.series:
            return
        yield f"# HELP {self.name} {escape_help(self.help)}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.series:
            inside = ",".join(f'{name}="{escape_label(text)}"' for name, text in labels.items())
            yield f"{self.name}{{{inside}}} {show(value)}" if inside else f"{self.name} {value}"


class Exposition:
    """The newest of everything, noted by the agent's threads and rendered by the server's.

    Args:
        host: the host's name.
        interval_s: per group, seconds between two readings.
    """

    def __init__(self, host: str, interval_s: Mapping[Group, float]) -> None:
        self._host = host
        self._old_after_s = {group: READINGS_OLD_AFTER * s for group, s in interval_s.items()}
        self._lock = threading.Lock()
        self._inventory: Inventory | None = None
        self._heartbeat: Heartbeat | None = None
        self._readings: dict[Group, tuple[float, Sequence[AcceleratorReading]]] = {}
        self._xids: dict[bytes, int] = {}

    def note_inventory(self, inventory: Inventory) -> None:
        """Learn what the host holds."""
        with self._lock:
            self._inventory = inventory

    def note_readings(
        self, group: Group, readings: Sequence[AcceleratorReading], now_s: float
    ) -> None:
        """Keep the newest readings of a group; the caller does not change them any more."""
        with self._lock:
            self._readings[group] = now_s, readings

    def note_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Keep what the agent says about itself."""
        with self._lock:
            self._heartbeat = heartbeat

    def note_events(self, events: Iterable[Event]) -> None:
        """Keep the last Xid of each accelerator."""
        with self._lock:
            for event in events:
                if event.kind is EventKind.XID and event.accelerator and event.code is not None:
                    self._xids[event.accelerator] = event.code

    def render(self, now_s: float) -> str:
        """Return the whole text."""
        with self._lock:
            inventory, heartbeat = self._inventory, self._heartbeat
            readings, xids = dict(self._readings), dict(self._xids)
        families: list[_Family] = []
        if inventory is not None:
            boards = {entry.uuid: entry for entry in inventory.accelerators}
            labels = {uuid: self._labels(entry, inventory) for uuid, entry in boards.items()}
            fresh = self._fresh(readings, now_s)
            families += _metrics(fresh, labels)
            families.append(_free_memory(fresh, boards, labels))
            families.append(_last_xids(xids, labels))
            families.append(_info(boards, labels))
        families += _ages(readings, now_s)
        if heartbeat is not None:
            families += _agent(heartbeat)
        return "\n".join(line for family in families for line in family.lines()) + "\n"

    def _labels(self, entry: Accelerator, inventory: Inventory) -> dict[str, str]:
        labels = {
            "gpu": str(entry.index),
            "UUID": f"{'MIG' if entry.parent else 'GPU'}-{UUID(bytes=entry.uuid)}",
            "pci_bus_id": entry.pci_address,
            "device": f"nvidia{entry.index}",
            "modelName": entry.model,
            "Hostname": self._host,
            "DCGM_FI_DRIVER_VERSION": inventory.driver_version,
        }
        if entry.parent:
            labels |= {"GPU_I_PROFILE": entry.mig_profile, "GPU_I_ID": str(entry.gpu_instance_id)}
        return labels

    def _fresh(
        self, readings: Mapping[Group, tuple[float, Sequence[AcceleratorReading]]], now_s: float
    ) -> dict[bytes, dict[str, int]]:
        """Return the values of each accelerator that are young enough to be told."""
        values: dict[bytes, dict[str, int]] = {}
        for group, (at_s, group_readings) in readings.items():
            if now_s - at_s > self._old_after_s[group]:
                continue
            for reading in group_readings:
                own = values.setdefault(reading.uuid, {})
                own.update(reading.values)
                if group is Group.FAST:
                    own["reader_status_code"] = int(reading.status)
                    own["read_failures_count"] = len(reading.failed)
        return values


def _metrics(
    fresh: Mapping[bytes, Mapping[str, int]], labels: Mapping[bytes, Labels]
) -> Iterator[_Family]:
    for entry in EXPOSED:
        family = _Family(entry.name, entry.kind, entry.help)
        for uuid, values in fresh.items():
            value = values.get(entry.metric.name)
            if value is not None and uuid in labels:
                scaled = value if entry.factor == 1 else value * entry.factor
                family.series.append((labels[uuid], scaled))
        yield family


def _free_memory(
    fresh: Mapping[bytes, Mapping[str, int]],
    boards: Mapping[bytes, Accelerator],
    labels: Mapping[bytes, Labels],
) -> _Family:
    text = "Device memory that no program uses, what the driver keeps for itself included, in MiB."
    family = _Family("DCGM_FI_DEV_FB_FREE", "gauge", text)
    for uuid, board in boards.items():
        used = fresh.get(uuid, {}).get("memory_used_mebibytes")
        if used is not None and board.memory_total_mebibytes is not None:
            family.series.append((labels[uuid], max(0, board.memory_total_mebibytes - used)))
    return family


def _last_xids(xids: Mapping[bytes, int], labels: Mapping[bytes, Labels]) -> _Family:
    family = _Family("DCGM_FI_DEV_XID_ERRORS", "gauge", "The last Xid since the agent started.")
    family.series += [(own, xids.get(uuid, 0)) for uuid, own in labels.items()]
    return family


def _info(boards: Mapping[bytes, Accelerator], labels: Mapping[bytes, Labels]) -> _Family:
    family = _Family("fleetgauge_accelerator_info", "gauge", "What an accelerator is; always 1.")
    for uuid, board in boards.items():
        more = {
            "vendor": board.vendor,
            "serial": board.serial,
            "board_part_number": board.board_part_number,
            "vbios_version": board.vbios_version,
        }
        family.series.append(({**labels[uuid], **more}, 1))
    return family


def _ages(
    readings: Mapping[Group, tuple[float, Sequence[AcceleratorReading]]], now_s: float
) -> Iterator[_Family]:
    family = _Family("fleetgauge_reading_age_seconds", "gauge", "Age of the newest readings.")
    for group, (at_s, _) in readings.items():
        family.series.append(({"group": group.value}, max(0.0, now_s - at_s)))
    yield family


def _agent(heartbeat: Heartbeat) -> Iterator[_Family]:
    gauges = {
        "spool_messages": (heartbeat.spool_messages, "Messages that wait for the broker."),
        "spool_bytes": (heartbeat.spool_bytes, "Bytes that wait for the broker."),
        "resident_bytes": (heartbeat.resident_bytes, "Memory of the agent."),
        "tick_duration_seconds": (heartbeat.tick_duration_us / 1e6, "Time of the last tick."),
    }
    for name, (value, text) in gauges.items():
        yield _Family(f"fleetgauge_agent_{name}", "gauge", text, [({}, value)])
    for name, count in heartbeat.counters.items():
        safe = "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
        text = f"Counted since the agent started: {name}."
        yield _Family(f"fleetgauge_agent_{safe}_total", "counter", text, [({}, count)])
