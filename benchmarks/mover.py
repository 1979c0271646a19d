"""Keeps a made fleet moving: each second a tenth of the hosts brings new readings.

Owns the pace. It stands for the collectors where a bench is about what reads the tables.
"""

import threading
import time
from types import TracebackType
from typing import Self

import psycopg

from benchmarks.fleet_rows import FleetRows, Shape

EVERY_S = 1.0
JOIN_S = 30.0


class Mover:
    """Moves the rows on a thread for as long as the block lasts."""

    def __init__(self, url: str, shape: Shape) -> None:
        self._url = url
        self._shape = shape
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mover", daemon=True)
        self.moves = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            rows = FleetRows(connection, self._shape)
            due_s = time.monotonic()
            while not self._ending.wait(max(0.0, due_s - time.monotonic())):
                due_s = max(due_s + EVERY_S, time.monotonic())
                rows.move()
                self.moves += 1
