"""The same readings for us and for peers: a simulated facility's messages, and what is in them.

Owns running a facility over a past span with its own clock, so that minutes of readings are made in
seconds, and unpacking its fast messages into arrays. Values are noisy integers as a driver gives
them: boards with jobs, idle ones, counters.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.fleet import scenario
from simulator.fleet.facility import Cadence, SimulatedFacility
from simulator.fleet.jobs import Work
from simulator.fleet.layout import Plan
from simulator.nvml import profile
from simulator.voice import Outgoing
from telemetry.catalogue import CATALOGUE
from telemetry.columns import Shape, missing_cells, read_bodies
from telemetry.metrics import Group
from telemetry.streams import Stream
from telemetry.wire import SamplesHeader, decode

FACILITY = "recorded"


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of one accelerator over time; a row is left out where the value is missing."""

    metric: str
    host: str
    gpu: int
    times_ms: NDArray[np.int64]
    values: NDArray[np.int64]


class Recording:
    """A span of a facility.

    Attributes:
        messages: everything its hosts sent, in order.
        rows: readings of one accelerator at one tick among them.
        values: fast values among them.
    """

    def __init__(self, hosts: int, gpus: int, seconds: int, end_us: int, seed: int = 1) -> None:
        plan = Plan("default", FACILITY, hosts, gpus, hosts_per_rack=8)
        facility = SimulatedFacility(
            plan,
            profile.load("h100"),
            seed=seed,
            boot_epoch=end_us,
            scenario=scenario.load("healthy"),
            work=Work(pressure=0.85, day_s=86_400.0, job_mean_s=1800.0),
            cadence=Cadence(),
        )
        start_us = end_us - seconds * 1_000_000
        self.messages: list[Outgoing] = list(facility.start(start_us))
        for tick in range(seconds):
            self.messages += facility.tick(start_us + tick * 1_000_000)
        self._parts = list(_fast_parts(self.messages))
        self.rows = sum(part.times.size * part.gpus for part in self._parts)
        self.values = sum(part.present for part in self._parts)

    def columns(self) -> Iterator[Column]:
        """Yield every series, whole."""
        by_host: dict[str, list[_Part]] = defaultdict(list)
        for part in self._parts:
            by_host[part.host].append(part)
        for host, parts in by_host.items():
            times_ms = np.concatenate([part.times for part in parts]) // 1000
            for position, metric in enumerate(parts[0].metrics):
                values = np.concatenate([part.values[position] for part in parts])
                missing = np.concatenate([part.missing[position] for part in parts])
                for gpu in range(parts[0].gpus):
                    there = ~missing[:, gpu]
                    if there.any():
                        yield Column(metric, host, gpu, times_ms[there], values[there, gpu])


@dataclass(frozen=True, slots=True)
class _Part:
    """A fast message: per metric (ticks, accelerators) values, and whether they are missing."""

    host: str
    metrics: list[str]
    times: NDArray[np.int64]
    values: list[NDArray[np.int64]]
    missing: list[NDArray[np.bool_]]

    @property
    def gpus(self) -> int:
        return int(self.values[0].shape[1])

    @property
    def present(self) -> int:
        return sum(int((~missing).sum()) for missing in self.missing)


def _fast_parts(messages: list[Outgoing]) -> Iterator[_Part]:
    for outgoing in messages:
        if outgoing.stream is not Stream.SAMPLES:
            continue
        message = decode(outgoing.value)
        assert isinstance(message.header, SamplesHeader)  # noqa: S101 - the stream says so
        shape = Shape.of(message.header)
        metrics = [CATALOGUE.by_id[number] for number in shape.metric_ids]
        if metrics[0].group is not Group.FAST:
            continue
        record = read_bodies(shape, [message.body])
        missing = missing_cells(shape, record)
        cells = (len(metrics), shape.ticks, shape.accelerators)
        absent = np.zeros(cells, np.bool_) if missing is None else missing[0]
        yield _Part(
            message.header.host,
            [metric.name for metric in metrics],
            record["time"][0].astype(np.int64),
            [record[f"m{metric.id}"][0].astype(np.int64) for metric in metrics],
            list(absent),
        )
