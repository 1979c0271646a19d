"""Messages of many hosts whose metrics all move like real ones: the load of the ingest bench.

Each metric is a random walk around a level of its own, a value per accelerator and tick, as integer
as the driver gives it; counters rise. Bodies are made in numpy, a pool of them ahead of time, and a
message is one of them with its own times: what is sent is honest in size and noise, and its making
does not take the processor that is to be measured. Owns the values and what they must add up to.
"""

import uuid
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telemetry.catalogue import CATALOGUE
from telemetry.columns import Shape, body_dtype
from telemetry.metrics import Group, Kind, Metric
from telemetry.wire import SamplesHeader, encode_samples, layout_of

METRICS = CATALOGUE.group(Group.FAST)
LAYOUT = layout_of(METRICS)
POOL = 256
CHECKED = ("power_milliwatts", "energy_millijoules", "temperature_gpu_celsius")

# Where a metric lives and how far it moves a tick; others walk in the lower half of their range.
_LEVELS = {
    "memory_used_mebibytes": (60_000, 200),
    "temperature_gpu_celsius": (58, 1),
    "temperature_memory_celsius": (70, 1),
    "temperature_margin_celsius": (28, 1),
    "power_milliwatts": (550_000, 9_000),
    "power_instant_milliwatts": (550_000, 30_000),
    "clock_sm_megahertz": (1_755, 15),
    "clock_memory_megahertz": (2_619, 0),
    "clock_video_megahertz": (1_400, 15),
    "clock_event_reasons_bitmask": (4, 0),
    "performance_state_code": (0, 0),
    "reader_status_code": (0, 0),
    "read_failures_count": (0, 0),
    "pcie_transmit_mebibytes_per_second": (2_000, 500),
    "pcie_receive_mebibytes_per_second": (2_000, 500),
    "nvlink_receive_mebibytes_per_second": (90_000, 9_000),
    "nvlink_transmit_mebibytes_per_second": (90_000, 9_000),
}


@dataclass(frozen=True, slots=True)
class Body:
    """A body without times, and what its checked metrics add up to."""

    bytes_after_times: bytes
    sums: tuple[int, ...]


@dataclass(slots=True)
class Sender:
    """One host."""

    facility: str
    name: str
    key: bytes
    accelerators: bytes
    seq: int = 0


class NoisyHosts:
    """A facility of hosts that send one message each, in turn."""

    def __init__(
        self, hosts: int, accelerators: int, ticks: int, *, facilities: int = 2, seed: int = 1
    ) -> None:
        self.shape = Shape(ticks, accelerators, LAYOUT)
        self.senders = [
            _sender(number, accelerators, f"site-{number % facilities + 1}")
            for number in range(hosts)
        ]
        self._chance = np.random.default_rng(seed)
        self.bodies = [self._body() for _ in range(POOL)]
        self._used = [0] * POOL
        self._next = 0
        self._times = (0, b"")
        self.rows_per_message = ticks * accelerators

    @property
    def sums(self) -> list[int]:
        """What the checked metrics of all messages add up to."""
        each = zip(*(body.sums for body in self.bodies), strict=True)
        return [sum(n * one for n, one in zip(self._used, ones, strict=True)) for ones in each]

    def message(self, now_us: int, interval_us: int, boot_epoch: int) -> tuple[bytes, bytes]:
        """Return key and value of the next host's message, whose last tick is now."""
        sender = self.senders[self._next % len(self.senders)]
        at = self._next % (POOL - 1)  # out of step with the hosts
        self._next += 1
        self._used[at] += 1
        sender.seq += 1
        if self._times[0] != now_us:
            ago = interval_us * np.arange(self.shape.ticks - 1, -1, -1, dtype="<i8")
            self._times = (now_us, (now_us - ago).tobytes())
        header = SamplesHeader(
            tenant="bench",
            facility=sender.facility,
            host=sender.name,
            boot_epoch=boot_epoch,
            seq=sender.seq,
            sent_us=now_us,
            ticks=self.shape.ticks,
            accelerators=sender.accelerators,
            layout=LAYOUT,
        )
        body = self._times[1] + self.bodies[at].bytes_after_times
        return sender.key, encode_samples(header, body)

    def values(self, at: int) -> list[NDArray[np.int64]]:
        """Return what a body of the pool holds: per metric an array of ticks x accelerators."""
        text = bytes(8 * self.shape.ticks) + self.bodies[at].bytes_after_times
        record = np.frombuffer(text, dtype=body_dtype(self.shape))[0]
        return [record[f"m{metric.id}"].astype(np.int64) for metric in METRICS]

    def _body(self) -> Body:
        record = np.zeros((), dtype=body_dtype(self.shape))
        for metric in METRICS:
            record[f"m{metric.id}"] = self._walk(metric)
        sums = tuple(
            int(record[f"m{CATALOGUE.by_name[name].id}"].sum(dtype=np.int64)) for name in CHECKED
        )
        return Body(record.tobytes()[8 * self.shape.ticks :], sums)

    def _walk(self, metric: Metric) -> NDArray[np.int64]:
        ticks, accelerators = self.shape.ticks, self.shape.accelerators
        if metric.kind is Kind.COUNTER:
            start = self._chance.integers(0, 1 << 40, accelerators)
            steps = self._chance.integers(300_000, 700_000, (ticks, accelerators))
            return start + np.cumsum(steps, axis=0)
        span = min(metric.maximum - metric.minimum, 1 << 30)
        level, step = _LEVELS.get(metric.name, (metric.minimum + span // 3, max(1, span // 50)))
        start = level + self._chance.integers(-4 * step, 4 * step + 1, accelerators)
        steps = self._chance.integers(-step, step + 1, (ticks, accelerators))
        return np.clip(start + np.cumsum(steps, axis=0), metric.minimum, metric.maximum)


def _sender(number: int, accelerators: int, facility: str) -> Sender:
    name = f"node-{number:06}"
    uuids = [uuid.uuid5(uuid.NAMESPACE_OID, f"{name}/{at}").bytes for at in range(accelerators)]
    return Sender(facility, name, f"bench/{facility}/{name}".encode(), b"".join(uuids))
