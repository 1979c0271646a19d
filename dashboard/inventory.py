"""All accelerators ever reported, as columns: whose, which, there or not, of what model.

Owns the table by number in the database, from which the picture lays out its seats. A fleet of
220,000 is read in one piece when a dashboard starts, so nothing here goes accelerator by
accelerator. A MIG instance is an accelerator in the database and a part of one here: known, so
that its readings are no stranger's, and without a seat, so that no board is counted twice.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.ticks import Floats, matrix

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Found:
    """Some accelerators, as read; a place in one column is the same accelerator in all of them."""

    gpu_ids: Ids
    host_ids: Ids
    indices: Ids
    present: NDArray[np.bool_]
    parts: NDArray[np.bool_]
    slowdown_celsius: Floats
    models: list[str]

    @classmethod
    def of(cls, row: Any) -> "Found":
        """Return the accelerators of a row of the query `accelerators`."""
        size = row.accelerators

        def column(packed: bytes | None) -> NDArray[np.float64]:
            return matrix(packed or b"", int(packed is not None), size).reshape(-1)

        return cls(
            column(row.gpu_ids).astype(np.int64),
            column(row.host_ids).astype(np.int64),
            column(row.indices).astype(np.int64),
            column(row.present) > 0,
            column(row.parts) > 0,
            column(row.slowdown_celsius).astype(np.float32),
            row.models or [],
        )


@dataclass(slots=True)
class Inventory:
    """All accelerators, by number; `host_ids` is -1 where there is none of that number."""

    host_ids: Ids = field(default_factory=lambda: np.zeros(0, np.int64))
    indices: Ids = field(default_factory=lambda: np.zeros(0, np.int64))
    present: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    parts: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    slowdown_celsius: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    _model_of: Ids = field(default_factory=lambda: np.zeros(0, np.int64))
    _models: dict[str, int] = field(default_factory=dict)

    def take(self, found: Found) -> bool:
        """Take new and changed accelerators; return whether anything is different now."""
        if not len(found.gpu_ids):
            return False
        self._grow(int(found.gpu_ids.max()) + 1)
        names = [self._models.setdefault(name, len(self._models)) for name in found.models]
        pairs = (
            (self.host_ids, found.host_ids),
            (self.indices, found.indices),
            (self.present, found.present),
            (self.parts, found.parts),
            (self.slowdown_celsius, found.slowdown_celsius),
            (self._model_of, np.array(names, np.int64)),
        )
        changed = False
        for column, values in pairs:
            if not np.array_equal(column[found.gpu_ids], values, equal_nan=True):
                column[found.gpu_ids] = values
                changed = True
        return changed

    def models(self, gpu_ids: Ids) -> tuple[str, ...]:
        """Return the names of the models among some accelerators, in the order of the alphabet."""
        names = list(self._models)
        return tuple(sorted({names[n] for n in np.unique(self._model_of[gpu_ids])} - {""}))

    def _grow(self, size: int) -> None:
        missing = size - len(self.host_ids)
        if missing <= 0:
            return
        self.host_ids = np.append(self.host_ids, np.full(missing, -1, np.int64))
        self.indices = np.append(self.indices, np.zeros(missing, np.int64))
        self.present = np.append(self.present, np.zeros(missing, np.bool_))
        self.parts = np.append(self.parts, np.zeros(missing, np.bool_))
        self.slowdown_celsius = np.append(self.slowdown_celsius, np.zeros(missing, np.float32))
        self._model_of = np.append(self._model_of, np.zeros(missing, np.int64))
