"""Mappings: which of an endpoint's metrics say what about its queues.

Owns the record, its loading, and the arithmetic from samples to snapshots. A mapping is a TOML
file; `mappings/vllm.toml` is the shortest way to understand one. Counters need two readings: the
first one gives None, and so does one in which a counter fell, because its server was restarted.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.queues.exposition import Sample
from telemetry.errors import ConfigError
from telemetry.records import Name, QueueSnapshot

MAPPINGS_FOLDER = Path(__file__).with_name("mappings")
FILE_BYTES_MAX = 1 << 16
QUEUES_MAX = 1000

_MetricName = Annotated[str, Meta(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]


class Gauge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="gauge"):
    """The value as it is, times `scale`."""

    metric: _MetricName
    scale: float = 1.0


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="rate"):
    """The rise of a counter, a second."""

    metric: _MetricName
    scale: float = 1.0


class Mean(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="mean"):
    """The rise of `sum` by the rise of `count`, times `scale`; None while nothing was counted."""

    sum: _MetricName
    count: _MetricName
    scale: float = 1.0


Value = Gauge | Rate | Mean


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of endpoint.

    Attributes:
        source: the word that snapshots carry as their source.
        queue_label: the label whose value is the queue's name.
        queue: the queue's name where no sample has that label.
        unit: what one entry is.
        same_along: labels along which the same queue is told several times, such as the ranks of
            a model that is spread over GPUs: the largest counts. Along all others it adds up.
        values: field of the snapshot to where it comes from.
    """

    source: Name
    queue_label: str
    queue: Name
    values: dict[str, Value]
    unit: str = "requests"
    same_along: tuple[str, ...] = ()

    def metrics(self) -> frozenset[str]:
        """Return the names that are looked at."""
        return frozenset(name for value in self.values.values() for name in _names(value))


def load_mapping(name: str) -> Mapping:
    """Return a mapping that comes with the agent, by its name, or one by its file.

    Raises:
        ConfigError: there is none, or it is wrong.
    """
    path = MAPPINGS_FOLDER / f"{name}.toml"
    if "/" in name or name.endswith(".toml") or not path.exists():
        path = Path(name)
    try:
        with path.open("rb") as file:
            mapping = msgspec.toml.decode(file.read(FILE_BYTES_MAX), type=Mapping)
    except (OSError, msgspec.DecodeError) as error:
        known = ", ".join(sorted(file.stem for file in MAPPINGS_FOLDER.glob("*.toml")))
        raise ConfigError([f"queue_endpoints:{name}: {error}; there are {known}"]) from error
    unknown = mapping.values.keys() - _FIELDS
    if unknown:
        raise ConfigError([f"{path}:values: a snapshot has no {', '.join(sorted(unknown))}"])
    return mapping


_FIELDS = frozenset(QueueSnapshot.__struct_fields__) - {"time_us", "source", "queue", "unit"}


class Totals:
    """One reading of an endpoint: per queue and metric one number."""

    def __init__(self, mapping: Mapping, samples: Iterable[Sample], now_s: float) -> None:
        self.now_s = now_s
        largest: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = {}
        for name, labels, value in samples:
            queue = labels.get(mapping.queue_label) or mapping.queue
            rest = tuple(sorted((k, v) for k, v in labels.items() if k not in mapping.same_along))
            key = (queue, name, rest)
            largest[key] = max(value, largest.get(key, value))
        self._sums: dict[tuple[str, str], float] = {}
        for (queue, name, _), value in largest.items():
            self._sums[queue, name] = self._sums.get((queue, name), 0.0) + value
        self.queues = sorted({queue for queue, _ in self._sums})[:QUEUES_MAX]

    def get(self, queue: str, metric: str) -> float | None:
        """Return a number; None where the endpoint did not tell it."""
        return self._sums.get((queue, metric))


def snapshots(
    mapping: Mapping, now: Totals, before: Totals | None, time_us: int
) -> list[QueueSnapshot]:
    """Return one snapshot a queue. Names that no queue may have are made into some that may."""
    found = []
    for queue in now.queues:
        values = {
            field: _evaluate(value, queue, now, before) for field, value in mapping.values.items()
        }
        found.append(
            QueueSnapshot(
                time_us=time_us,
                source=mapping.source,
                queue=clean_name(queue),
                unit=mapping.unit,
                **values,
            )
        )
    return found


def clean_name(text: str) -> str:
    """Return a name for a queue: foreign characters become `_`, and it is not too long."""
    cleaned = "".join(c if c.isascii() and (c.isalnum() or c in " ._:/@-") else "_" for c in text)
    if not cleaned[:1].isalnum():
        cleaned = f"q{cleaned}"
    return cleaned[:128]


def _names(value: Value) -> tuple[str, ...]:
    return (value.sum, value.count) if isinstance(value, Mean) else (value.metric,)


def _evaluate(value: Value, queue: str, now: Totals, before: Totals | None) -> float | None:
    if isinstance(value, Gauge):
        told = now.get(queue, value.metric)
        return None if told is None else told * value.scale
    if before is None:
        return None
    rise: Callable[[str], float | None] = lambda metric: _rise(queue, metric, now, before)  # noqa: E731 - both kinds of counters ask the same
    if isinstance(value, Rate):
        rose, seconds = rise(value.metric), now.now_s - before.now_s
        return None if rose is None or seconds <= 0 else rose / seconds * value.scale
    total, count = rise(value.sum), rise(value.count)
    return None if total is None or not count else total / count * value.scale


def _rise(queue: str, metric: str, now: Totals, before: Totals) -> float | None:
    after, earlier = now.get(queue, metric), before.get(queue, metric)
    if after is None or earlier is None or after < earlier:
        return None
    return after - earlier
