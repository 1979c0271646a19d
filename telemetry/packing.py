"""Samples bodies one value at a time: what an agent packs, and what a person or a test unpacks.

Owns the conversion between lists of values and packed columns, in plain Python. A collector
reads the same bytes through `telemetry/columns.py`, without an object a value.
"""

import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Metric
from telemetry.wire import Message, SamplesHeader, mask_bytes, parse_layout, split_uuids

_CODES = {2: "h", 4: "i", 8: "q"}

# One tick of one accelerator: catalogue name -> value; absent or None is missing.
Reading = dict[str, int | None]


@dataclass(frozen=True, slots=True)
class Samples:
    """An unpacked body.

    Attributes:
        times_us: wall time of each of the T ticks.
        columns: per metric T x G values, tick by tick; None is missing. Metrics that this
            catalogue does not know are left out.
    """

    times_us: list[int]
    columns: dict[str, list[int | None]]


def pack(
    metrics: Sequence[Metric], times_us: Sequence[int], rows: Sequence[Sequence[Reading]]
) -> bytes:
    """Return the body of a samples message.

    Args:
        metrics: the columns, in the order of the header's layout.
        times_us: wall time of each tick.
        rows: per tick, one reading per accelerator, in the order of the header's UUIDs.

    Raises:
        OverflowError: a value does not fit its metric's width.
    """
    parts = [_little_endian(array("q", times_us))]
    masks: list[bytes] = []
    for metric in metrics:
        values = [reading.get(metric.name) for tick in rows for reading in tick]
        # Nearly always nothing is missing, and the mask need not be made bit by bit.
        some_missing = None in values
        filled = array(_CODES[metric.width_bytes], [v or 0 for v in values])
        parts.append(_little_endian(filled))
        masks.append(
            _pack_mask(v is None for v in values)
            if some_missing
            else bytes(mask_bytes(len(values)))
        )
    return b"".join(parts + masks)


def unpack(message: Message) -> Samples:
    """Return the values of a samples message that `telemetry.wire.decode` has accepted."""
    header = message.header
    if not isinstance(header, SamplesHeader):
        raise TypeError("only a samples message holds packed columns")
    cells = header.ticks * len(split_uuids(header.accelerators))
    times = array("q", bytes(message.body[: 8 * header.ticks]))
    layout = parse_layout(header.layout)
    value_at = 8 * header.ticks
    mask_at = value_at + cells * layout.row_bytes
    columns: dict[str, list[int | None]] = {}
    for number, width in layout.entries:
        metric = CATALOGUE.by_id.get(number)
        if metric is not None:
            values = array(_CODES[width], bytes(message.body[value_at : value_at + cells * width]))
            mask = bytes(message.body[mask_at : mask_at + mask_bytes(cells)])
            columns[metric.name] = _apply_mask(_native(values), mask)
        value_at += cells * width
        mask_at += mask_bytes(cells)
    return Samples(list(_native(times)), columns)


def _pack_mask(missing: Iterable[bool]) -> bytes:
    bits, count = 0, 0
    for count, absent in enumerate(missing, start=1):
        if absent:
            bits |= 1 << (count - 1)
    return bits.to_bytes(mask_bytes(count), "little")


def _apply_mask(values: Iterable[int], mask: bytes) -> list[int | None]:
    bits = int.from_bytes(mask, "little")
    return [None if bits >> i & 1 else value for i, value in enumerate(values)]


def _little_endian(values: "array[int]") -> bytes:
    return _native(values).tobytes()


def _native(values: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        values.byteswap()
    return values
