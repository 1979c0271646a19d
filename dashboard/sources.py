"""What a page may look at while it is rendered, and what it answers with: its slots.

Owns these types alone; `broadcast.py` fills them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.history import History
from dashboard.maps import Maps
from dashboard.picture import Picture
from dashboard.view import View
from dashboard.watch import Source

Slots = Mapping[str, Mapping[str, Any]]


@dataclass(slots=True)
class Sources:
    """What a page may look at.

    Attributes:
        picture: the fleet in memory.
        now_s: the time of this tick.
        as_of_s: when the picture was last brought up to date; None before the first time.
        trouble: why it is not up to date; empty if it is.
        queries: for what is not in memory.
        history: remembers answers to such queries.
        maps: mosaics of the picture.
        blobs: takes bytes, returns the address under which browsers fetch them.
    """

    picture: Picture
    now_s: float
    as_of_s: float | None
    trouble: str
    queries: Source
    history: History
    maps: Maps
    blobs: Callable[[bytes], str]
    counters: Mapping[str, int]


Render = Callable[[View, Sources], Awaitable[Slots]]
