"""Samples bodies one value at a time: what an agent packs, and what a person or a test unpacks.

Owns the conversion between lists of values and packed columns, in plain Python. A collector
reads the same bytes through `telemetry/columns.py`, without an object a value.
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Metric
from telemetry.wire import Message, SamplesHeader, mask_bytes, parse_layout, split_uuids

# The same letters to `array` and, in standard sizes, to `struct`.
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


class Packer:
    """Packs readings of always the same metrics.

    Args:
        metrics: the columns, in the order of the header's layout.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._names = tuple(metric.name for metric in metrics)
        self._codes = tuple(_CODES[metric.width_bytes] for metric in metrics)
        self._whole: dict[tuple[int, int], struct.Struct] = {}

    def pack(self, times_us: Sequence[int], rows: Sequence[Sequence[Reading]]) -> bytes:
        """Return the body of a samples message.

        Args:
            times_us: wall time of each tick.
            rows: per tick, one reading per accelerator, in the order of the header's UUIDs.

        Raises:
            OverflowError: a value does not fit its metric's width.
        """
        readings = [reading for tick in rows for reading in tick]
        values = [reading.get(name) for name in self._names for reading in readings]
        try:
            if None not in values:  # Nearly always, and then all is packed in one go.
                return self._layout(len(times_us), len(readings)).pack(*times_us, *values)
            return self._with_gaps(times_us, values, len(readings))
        except struct.error as error:
            raise OverflowError(str(error)) from error

    def _layout(self, ticks: int, cells: int) -> struct.Struct:
        """Return the layout of a body in which no value is missing: its masks are zeroes."""
        layout = self._whole.get((ticks, cells))
        if layout is None:
            columns = "".join(f"{cells}{code}" for code in self._codes)
            layout = struct.Struct(f"<{ticks}q{columns}{mask_bytes(cells) * len(self._codes)}x")
            self._whole.clear()  # A host has one at a time.
            self._whole[ticks, cells] = layout
        return layout

    def _with_gaps(
        self, times_us: Sequence[int], values: Sequence[int | None], cells: int
    ) -> bytes:
        parts, masks = [struct.pack(f"<{len(times_us)}q", *times_us)], []
        for place, code in enumerate(self._codes):
            column = values[place * cells : (place + 1) * cells]
            parts.append(struct.pack(f"<{cells}{code}", *(value or 0 for value in column)))
            masks.append(_pack_mask(value is None for value in column))
        return b"".join(parts + masks)


def pack(
    metrics: Sequence[Metric], times_us: Sequence[int], rows: Sequence[Sequence[Reading]]
) -> bytes:
    """Return the body of one samples message, as `Packer` does for many."""
    return Packer(metrics).pack(times_us, rows)


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


def _native(values: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        values.byteswap()
    return values
