"""Readings for a person: one JSON object a line, with labels, units and words.

Owns the form. Values are scaled to what a person reads; a metric that could not be read says
`unsupported` or `failed` and why, and has no value.
"""

import json
from collections.abc import Sequence
from typing import Any, TextIO
from uuid import UUID

from agent.accelerators import AcceleratorReading
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group, Metric
from telemetry.records import Accelerator


def print_readings(
    stream: TextIO,
    *,
    host: str,
    time_us: int,
    accelerators: Sequence[Accelerator],
    readings: Sequence[Sequence[AcceleratorReading]],
    indent: int | None = None,
) -> None:
    """Write one object with all groups that were read.

    Args:
        stream: where to.
        host: name of the host.
        time_us: when the readings were taken.
        accelerators: the inventory, in the order of the readings.
        readings: per group that was read, one reading an accelerator.
        indent: spaces a level, or None for one line.
    """
    entry = {
        "host": host,
        "time_us": time_us,
        "accelerators": [
            _describe(accelerator, [group[index] for group in readings])
            for index, accelerator in enumerate(accelerators)
        ],
    }
    stream.write(json.dumps(entry, ensure_ascii=False, indent=indent) + "\n")
    stream.flush()


def _describe(accelerator: Accelerator, readings: Sequence[AcceleratorReading]) -> dict[str, Any]:
    metrics = {}
    for group, reading in zip((Group.FAST, Group.SLOW), readings, strict=False):
        values = dict(reading.values)
        if group is Group.FAST:
            values["reader_status_code"] = reading.status
            values["read_failures_count"] = len(reading.failed)
        for metric in CATALOGUE.group(group):
            metrics[metric.name] = _metric(metric, values, reading)
    return {
        "uuid": f"{'MIG' if accelerator.parent else 'GPU'}-{UUID(bytes=accelerator.uuid)}",
        "index": accelerator.index,
        "model": accelerator.model,
        "status": readings[0].status.name.lower(),
        "metrics": metrics,
    }


def _metric(metric: Metric, values: dict[str, int], reading: AcceleratorReading) -> dict[str, Any]:
    entry: dict[str, Any] = {"label": metric.label, "unit": metric.unit}
    if metric.name in values:
        value = values[metric.name]
        entry["value"] = value if metric.scale == 1.0 else round(value * metric.scale, 6)
        return entry
    entry["value"] = None
    if metric.name in reading.unsupported:
        entry["state"] = "unsupported"
    elif metric.name in reading.failed:
        entry["state"] = "failed"
        entry["reason"] = reading.failed[metric.name]
    else:
        entry["state"] = "not read"
    return entry
