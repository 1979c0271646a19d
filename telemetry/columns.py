"""Samples bodies as numpy columns, many messages of one shape at once.

Owns the packed reading for the collector and the packed writing for generators. Needs numpy,
which only they have. Bytes are checked by `telemetry.wire` first; nothing here runs per value.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from telemetry.wire import UUID_BYTES, SamplesHeader, mask_bytes, parse_layout


@dataclass(frozen=True, slots=True)
class Shape:
    """What messages must share to be read together.

    Attributes:
        ticks: T.
        accelerators: G.
        layout: the header's layout bytes.
    """

    ticks: int
    accelerators: int
    layout: bytes

    @classmethod
    def of(cls, header: SamplesHeader) -> "Shape":
        """Return the shape of one message's body; the same object for the same shape."""
        return _shape(header.ticks, len(header.accelerators) // UUID_BYTES, header.layout)

    @property
    def metric_ids(self) -> list[int]:
        """Wire ids of the columns, in order."""
        return [number for number, _ in parse_layout(self.layout).entries]


@lru_cache(maxsize=1024)
def _shape(ticks: int, accelerators: int, layout: bytes) -> Shape:
    return Shape(ticks, accelerators, layout)


@lru_cache(maxsize=256)
def body_dtype(shape: Shape) -> np.dtype[np.void]:
    """Return the record that one body of this shape is.

    Fields: `time` int64 (T), `m<id>` int16/32/64 (T, G) a metric, `missing` uint8 (M, mask
    bytes). The record has no padding, so N joined bodies are N records.
    """
    t, g = shape.ticks, shape.accelerators
    layout = parse_layout(shape.layout).entries
    fields: list[tuple[str, str, tuple[int, ...]]] = [("time", "<i8", (t,))]
    fields += [(f"m{number}", f"<i{width}", (t, g)) for number, width in layout]
    fields.append(("missing", "u1", (len(layout), mask_bytes(t * g))))
    return np.dtype(fields)


def read_bodies(shape: Shape, bodies: list[memoryview]) -> NDArray[np.void]:
    """Return N bodies of one shape as an array of N records, copied once."""
    return np.frombuffer(b"".join(bodies), dtype=body_dtype(shape))


def missing_cells(shape: Shape, records: NDArray[np.void]) -> NDArray[np.bool_] | None:
    """Return which values are missing, as (N, M, T, G), or None where none is."""
    masks = records["missing"]
    if not masks.any():
        return None
    cells = shape.ticks * shape.accelerators
    bits = np.unpackbits(masks, axis=2, count=cells, bitorder="little")
    return bits.reshape(len(records), -1, shape.ticks, shape.accelerators).astype(np.bool_)
