"""Layout `gentd26`: a serving cluster's containers, one point each 57 s, five tables.

Owns the mapping of those tables to hosts, samples and queue snapshots. A container holds one
accelerator; eight of them, in the order of their names, stand in for a host. Driver units are
integers, so percent and mebibytes are rounded, half to even; a value in the middle between two
goes to the even one. The queues' figures stay as they are.

The table of `queue_size` and the rows of `qps` without a container speak of the cluster's entrance:
queue `entrance`. A container's own response times and request rates make a queue of its name.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from simulator.replay.recording import (
    SOURCE,
    Problems,
    RecordedHost,
    Recording,
    RowError,
    Step,
    find_table,
    parse_name,
    parse_time_s,
    read_table,
)
from telemetry.catalogue import CATALOGUE
from telemetry.errors import ConfigError
from telemetry.packing import Reading
from telemetry.records import Accelerator, QueueSnapshot, ReaderStatus

# Values by (time, container) and by (time, queue).
Samples = dict[tuple[int, str], Reading]
Queues = dict[tuple[int, str], dict[str, float]]

SIGNATURE = "gpu_duty_cycle.csv or .csv.gz"
GPUS_PER_HOST = 8
ENTRANCE = "entrance"
BYTES_PER_MEBIBYTE = 1 << 20

# table: the metric, and how many of the table's units are one of the catalogue's.
SAMPLE_TABLES = {
    "gpu_duty_cycle": ("utilization_gpu_percent", 1),
    "gpu_memory_used_bytes": ("memory_used_mebibytes", BYTES_PER_MEBIBYTE),
}
# table: the snapshot's field.
QUEUE_TABLES = {
    "queue_size": "waiting",
    "queue_response_ms": "wait_milliseconds",
    "qps": "arrivals_per_second",
}
TABLES = (*SAMPLE_TABLES, *QUEUE_TABLES)
_KIND_OF_CONTAINERS = "Generative Requests"


def matches(folder: Path) -> bool:
    """Whether the folder holds this layout."""
    return find_table(folder, "gpu_duty_cycle") is not None


def read(folder: Path, facility: str) -> Recording:
    """Return the recording, all of it in memory.

    Raises:
        ConfigError: a file cannot be read, or there is not one good row.
    """
    problems = Problems()
    samples: Samples = {}
    queues: Queues = {}
    points = 0
    for point in _read_points(folder, problems):
        try:
            if point.table in SAMPLE_TABLES:
                _add_sample(samples, point)
            else:
                _add_queue(queues, point)
        except RowError as error:
            problems.add(point.path, point.line, error)
        else:
            points += 1
    if not points:
        raise ConfigError([f"{folder}: holds no usable row", *problems.first])
    containers = sorted({container for _, container in samples})
    return Recording(
        layout="gentd26",
        hosts=_make_hosts(containers, facility),
        metrics=tuple(metric for metric, _ in SAMPLE_TABLES.values()),
        steps=_make_steps(samples, queues, containers),
        points=points,
        problems=problems,
    )


class Point(NamedTuple):
    """One row of one table, and where it stands."""

    table: str
    time_s: int
    container: str
    kind: str
    value: float
    path: Path
    line: int


def _read_points(folder: Path, problems: Problems) -> Iterator[Point]:
    for table in TABLES:
        path = find_table(folder, table)
        if path is None:
            problems.add(folder / f"{table}.csv", 0, "there is no such table")
            continue
        columns = ["unix_time_s", "container", "value", *(["request_type"] * (table == "qps"))]
        for line, (time, container, value, *kinds) in read_table(path, columns, problems):
            try:
                kind = parse_name(kinds[0]) if kinds else ""
                time_s, number = parse_time_s(time), _number(value)
                yield Point(table, time_s, parse_name(container), kind, number, path, line)
            except RowError as error:
                problems.add(path, line, error)


def _add_sample(samples: Samples, point: Point) -> None:
    name, divisor = SAMPLE_TABLES[point.table]
    whole = round(point.value / divisor)
    if not point.container:
        raise RowError("no container")
    if not CATALOGUE.by_name[name].holds(whole):
        raise RowError(f"{point.value} is out of range for {name}")
    reading = samples.setdefault((point.time_s, point.container), {})
    if name in reading:
        raise RowError(f"a second value of {point.container} at {point.time_s}")
    reading[name] = whole


def _add_queue(queues: Queues, point: Point) -> None:
    queue = point.container or ENTRANCE
    if point.container and point.kind not in ("", _KIND_OF_CONTAINERS):
        queue = f"{point.container} {point.kind}"
    name = QUEUE_TABLES[point.table]
    figures = queues.setdefault((point.time_s, queue), {})
    if name in figures:
        raise RowError(f"a second value of {queue} at {point.time_s}")
    figures[name] = point.value


def _make_hosts(containers: list[str], facility: str) -> tuple[RecordedHost, ...]:
    hosts = list[RecordedHost]()
    for start in range(0, len(containers), GPUS_PER_HOST):
        boards = tuple(
            Accelerator(uuid=uuid5(NAMESPACE_URL, f"{facility}/{container}").bytes, index=index)
            for index, container in enumerate(containers[start : start + GPUS_PER_HOST])
        )
        hosts.append(RecordedHost(f"{facility}-{len(hosts) + 1:03d}", boards))
    # The queues need someone who saw them, even where no container has samples.
    return tuple(hosts) or (RecordedHost(f"{facility}-001", ()),)


def _make_steps(samples: Samples, queues: Queues, containers: list[str]) -> tuple[Step, ...]:
    """Gather the values of each moment; a container without any has an empty reading."""
    slots = {name: divmod(at, GPUS_PER_HOST) for at, name in enumerate(containers)}
    readings: dict[int, dict[int, list[Reading]]] = {}
    for (time_s, container), reading in samples.items():
        host, slot = slots[container]
        boards = min(GPUS_PER_HOST, len(containers) - host * GPUS_PER_HOST)
        row = readings.setdefault(time_s, {}).setdefault(host, [{} for _ in range(boards)])
        row[slot] = reading | {"reader_status_code": int(ReaderStatus.WHOLE)}
    snapshots: dict[int, list[QueueSnapshot]] = {}
    for (time_s, queue), figures in queues.items():
        snapshots.setdefault(time_s, []).append(
            QueueSnapshot(time_us=0, source=SOURCE, queue=queue, unit="requests", **figures)
        )
    return tuple(
        Step(float(time_s), readings.get(time_s, {}), snapshots.get(time_s, []))
        for time_s in sorted(readings.keys() | snapshots.keys())
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise RowError(f"{text[:40]!r} is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise RowError(f"{text[:40]!r} is not a number from 0")
    return value
