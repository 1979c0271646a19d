"""What must be stored after a replay, computed straight from the files.

Owns a second, independent account: it shares no parsing, rounding or sweep with the sending path,
so that the two can disagree. Plain loops and brute force, because nobody waits for it.
"""

import contextlib
import csv
import gzip
import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CADENCE_S = 60
SILENCE_S = 3600
# A time that never came.
_NEVER = np.inf


@dataclass(frozen=True, slots=True)
class Tally:
    """How many values, and their sum."""

    count: int
    total: float

    def agrees(self, other: "Tally") -> bool:
        """Whether counts are equal, and sums but for the order in which floats were added."""
        close = math.isclose(self.total, other.total, rel_tol=1e-9, abs_tol=1e-6)
        return self.count == other.count and close


def expected(folder: Path, layout: str) -> dict[str, Tally]:
    """Return a tally for each stored column, as `table.column`, and of the accelerators."""
    return _expect_gentd26(folder) if layout == "gentd26" else _expect_openb(folder)


def _rows(folder: Path, table: str, *numbers: str) -> Iterator[dict[str, str]]:
    """Yield the rows whose columns `numbers` hold numbers; the others have no sum."""
    packed = folder / f"{table}.csv.gz"
    if packed.exists():
        text = gzip.decompress(packed.read_bytes()).decode()
    else:
        text = (folder / f"{table}.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        with contextlib.suppress(TypeError, ValueError):
            if all(math.isfinite(float(row[name])) for name in numbers):
                yield row


def _expect_gentd26(folder: Path) -> dict[str, Tally]:
    units = {
        "gpu_duty_cycle": ("samples.utilization_gpu_percent", 1),
        "gpu_memory_used_bytes": ("samples.memory_used_mebibytes", 2**20),
    }
    tallies, containers = {}, set()
    for table, (column, unit) in units.items():
        whole = []
        for row in _rows(folder, table, "value"):
            exact = Decimal(float(row["value"])) / unit
            whole.append(int(exact.quantize(Decimal(1), ROUND_HALF_EVEN)))
            containers.add(row["container"])
        tallies[column] = Tally(len(whole), sum(whole))
    for table, column in (
        ("queue_size", "waiting"),
        ("queue_response_ms", "wait_milliseconds"),
        ("qps", "arrivals_per_second"),
    ):
        values = [float(row["value"]) for row in _rows(folder, table, "value")]
        tallies[f"queue_samples.{column}"] = Tally(len(values), math.fsum(values))
    tallies["accelerators"] = Tally(len(containers), len(containers))
    return tallies


def _expect_openb(folder: Path) -> dict[str, Tally]:
    series = openb_backlog(folder)
    tallies = {
        f"queue_samples.{column}": Tally(
            int(np.isfinite(values).sum()), math.fsum(values[np.isfinite(values)])
        )
        for column, values in series.items()
        if column != "time_s"
    }
    boards = sum(int(row["gpu"]) for row in _rows(folder, "nodes", "gpu"))
    tallies["accelerators"] = Tally(boards, boards)
    return tallies


def openb_backlog(folder: Path) -> dict[str, NDArray[np.float64]]:
    """Return the backlog by brute force: at each moment, every pod is asked anew.

    One element a moment and queue, moment by moment, queues in the order of their names; NaN is
    what is not known.
    """
    pods = list(_rows(folder, "pods", "num_gpu", "gpu_milli", "creation_time"))
    times = {
        name: np.array([float(pod[f"{name}_time"] or _NEVER) for pod in pods])
        for name in ("creation", "scheduled", "deletion")
    }
    gpus = np.array([int(pod["num_gpu"]) * int(pod["gpu_milli"]) / 1000 for pod in pods])
    classes = np.array([pod["qos"] for pod in pods])
    queues = sorted(set(classes.tolist()))
    rows = [row for moment in _moments(times) for row in _ask(moment, times, gpus, classes, queues)]
    columns = (
        *("time_s", "waiting", "running", "gpus_waiting", "gpus_running"),
        *("gpu_seconds_waiting", "oldest_wait_seconds"),
    )
    return dict(zip(columns, np.array(rows).T, strict=True))


def _moments(times: dict[str, NDArray[np.float64]]) -> list[float]:
    """The cadence's moments after changes, and the full hours between the first and the last."""
    changes = np.concatenate(list(times.values()))
    changes = changes[np.isfinite(changes)]
    after = set((np.ceil(changes / CADENCE_S) * CADENCE_S).tolist())
    after = {moment for moment in after if moment <= changes.max()}
    hours = np.arange(0, changes.max(), SILENCE_S)
    return sorted(after | set(hours[hours > min(after, default=np.inf)].tolist()))


def _ask(
    moment: float,
    times: dict[str, NDArray[np.float64]],
    gpus: NDArray[np.float64],
    classes: NDArray[np.str_],
    queues: list[str],
) -> list[list[float]]:
    """Return a row a queue: the moment, and what waits and runs then."""
    created, scheduled, deleted = times["creation"], times["scheduled"], times["deletion"]
    there = np.flatnonzero((created <= moment) & (moment < deleted))
    rows = []
    for queue in queues:
        mine = there[classes[there] == queue]
        waiting, running = mine[moment < scheduled[mine]], mine[scheduled[mine] <= moment]
        known = waiting[np.isfinite(scheduled[waiting]) & np.isfinite(deleted[waiting])]
        seconds = math.fsum(gpus[known] * (deleted[known] - scheduled[known]))
        oldest = moment - created[waiting].min() if len(waiting) else math.nan
        rows.append(
            [
                moment,
                float(len(waiting)),
                float(len(running)),
                math.fsum(gpus[waiting]),
                math.fsum(gpus[running]),
                math.nan if len(waiting) and not len(known) else seconds,
                oldest,
            ]
        )
    return rows
