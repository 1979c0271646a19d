"""The last ticks of all hosts, and the packed bodies made of them.

Owns the arrays between readings and the wire: one ring a metric, ticks x hosts x boards, in the
width of the wire. Nothing runs per value; per host there is one slice of bytes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.readings import Values
from telemetry.columns import Shape, body_dtype
from telemetry.metrics import Metric
from telemetry.wire import layout_of


class Ring:
    """Readings of one metric group over the last `ticks` ticks.

    Attributes:
        layout: the layout bytes of the messages made here.
        filled: ticks recorded so far, up to `ticks`.
    """

    def __init__(self, metrics: Sequence[Metric], ticks: int, hosts: int, gpus: int) -> None:
        self._metrics = tuple(metrics)
        self.layout = layout_of(self._metrics)
        self._ticks, self._hosts, self._gpus = ticks, hosts, gpus
        shape = (ticks, hosts, gpus)
        self._values = {m.name: np.zeros(shape, f"<{m.storage}") for m in self._metrics}
        self._missing = np.zeros(shape, np.bool_)
        self._times = np.zeros(ticks, np.int64)
        self._next = 0
        self.filled = 0

    def record(
        self, time_us: int, readings: Mapping[str, Values | int], lost: NDArray[np.bool_]
    ) -> None:
        """Write one tick over the oldest one.

        Args:
            time_us: wall time of the tick.
            readings: for each metric an array with one value a board, or one value for all.
            lost: boards that do not answer: all that they have is a status.
        """
        at, shape = self._next, (self._hosts, self._gpus)
        for metric in self._metrics:
            values = readings[metric.name]
            flat = values.reshape(shape) if isinstance(values, np.ndarray) else values
            self._values[metric.name][at] = flat
        self._missing[at] = lost.reshape(shape)
        self._times[at] = time_us
        self._next = (at + 1) % self._ticks
        self.filled = min(self._ticks, self.filled + 1)

    def bodies(
        self, hosts: NDArray[np.int64], ticks: int, answered: Mapping[str, int]
    ) -> list[bytes]:
        """Return one body a host with its last `ticks` ticks.

        Args:
            hosts: which hosts.
            ticks: how many ticks; at most `filled`.
            answered: metrics that a lost board has nevertheless, with their value there.
        """
        order = (self._next - ticks + np.arange(ticks)) % self._ticks
        dtype = body_dtype(Shape(ticks, self._gpus, self.layout))
        records = np.zeros(len(hosts), dtype)
        records["time"] = self._times[order]
        picked = np.ix_(order, hosts)
        lost = self._missing[picked].transpose(1, 0, 2)
        bits = np.packbits(lost.reshape(len(hosts), -1), axis=1, bitorder="little")
        for column, metric in enumerate(self._metrics):
            values = self._values[metric.name][picked].transpose(1, 0, 2)
            if metric.name in answered:
                records[f"m{metric.id}"] = np.where(lost, answered[metric.name], values)
            else:
                records[f"m{metric.id}"] = np.where(lost, 0, values)
                records["missing"][:, column] = bits
        return [record.tobytes() for record in records]
