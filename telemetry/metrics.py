"""The metric catalogue: every number that an accelerator gives, once.

Owns the record of a metric and the look-ups. The entries are in `catalogue.py`. Wire ids, COPY
columns, axis labels, exposition names, documentation and the simulated fleet follow from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

# Stored little-endian on the wire and as the PostgreSQL type of the same width.
WIDTHS_BYTES = {"i2": 2, "i4": 4, "i8": 8}
SQL_TYPES = {"i2": "smallint", "i4": "integer", "i8": "bigint"}


class Kind(StrEnum):
    """How a metric behaves over time."""

    GAUGE = "gauge"
    COUNTER = "counter"  # only rises, except that a driver reload sets it to zero
    BITMASK = "bitmask"
    CODE = "code"  # a number that stands for a word


class Group(StrEnum):
    """Metrics that are read together, travel in one message and share one table."""

    FAST = "fast"  # every tick; table `samples`
    SLOW = "slow"  # every half or whole minute; table `slow_samples`


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the catalogue.

    Attributes:
        id: number on the wire; never reused, never changed.
        name: column name; its unit is its ending.
        label: short name for an axis or a table heading.
        storage: `i2`, `i4` or `i8`, on the wire and in the table.
        minimum: smallest valid value; anything below is a failed read, stored as NULL.
        maximum: largest valid value.
        source: the NVML call or field id that gives it.
        unit: what a person reads after the number, once `scale` is applied.
        scale: displayed value = stored value x scale.
        otel: OpenTelemetry name, or None where there is none.
        dcgm: dcgm-exporter name, or None where there is none.
        sentence: what it is, for someone who sees it for the first time.
        live: kept per host in `host_state` for the live views and the alerts.
        rollup: summed into rack and facility buckets as the messages pass.
    """

    id: int
    name: str
    label: str
    storage: str
    minimum: int
    maximum: int
    source: str
    unit: str
    scale: float
    sentence: str
    kind: Kind = Kind.GAUGE
    group: Group = Group.FAST
    otel: str | None = None
    dcgm: str | None = None
    live: bool = False
    rollup: bool = False

    @property
    def width_bytes(self) -> int:
        """Bytes of one value."""
        return WIDTHS_BYTES[self.storage]

    @property
    def sql_type(self) -> str:
        """PostgreSQL type of the column."""
        return SQL_TYPES[self.storage]

    def holds(self, value: int) -> bool:
        """Whether a value is inside the valid range."""
        return self.minimum <= value <= self.maximum


class Catalogue:
    """All metrics, in column order, with look-ups by name and by wire id."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self.metrics: tuple[Metric, ...] = tuple(metrics)
        self.by_name = {metric.name: metric for metric in self.metrics}
        self.by_id = {metric.id: metric for metric in self.metrics}
        if not len(self.by_name) == len(self.by_id) == len(self.metrics):
            raise ValueError("a metric name or id stands twice in the catalogue")

    def group(self, group: Group) -> tuple[Metric, ...]:
        """Return the metrics of one group, in column order."""
        return tuple(metric for metric in self.metrics if metric.group is group)

    def live(self) -> tuple[Metric, ...]:
        """Return the metrics that `host_state` keeps."""
        return tuple(metric for metric in self.metrics if metric.live)

    def rollup(self) -> tuple[Metric, ...]:
        """Return the metrics that are rolled up by rack and facility."""
        return tuple(metric for metric in self.metrics if metric.rollup)
