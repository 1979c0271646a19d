"""Facilities, racks and hosts: where each is, and which slices of the picture's arrays are its own.

Owns what a place is. `picture.py` puts places in their order and sets their slices.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Host:
    """A host's place, and where its accelerators are in the arrays.

    Its position is -1 while its facility is not known: inventories are read apart from facilities.
    """

    host_id: int
    facility_id: int
    rack_id: int
    name: str
    tray: str
    place: tuple[str, str, str]
    first: int = 0
    last: int = 0
    position: int = -1


@dataclass(slots=True)
class Rack:
    """A rack's place, and where its hosts and accelerators are."""

    rack_id: int
    facility_id: int
    place: tuple[str, str, str]
    hosts: slice
    seats: slice

    @property
    def title(self) -> str:
        """Hall, row and rack, as far as they have names."""
        return " / ".join(part for part in self.place if part) or "no rack named"


@dataclass(slots=True)
class Facility:
    """A facility with its contract terms, and where its racks and accelerators are."""

    row: Any
    slug: str
    racks: slice = field(default_factory=lambda: slice(0, 0))
    hosts: slice = field(default_factory=lambda: slice(0, 0))
    seats: slice = field(default_factory=lambda: slice(0, 0))
    models: tuple[str, ...] = ()

    @property
    def facility_id(self) -> int:
        """Its number in the database."""
        return int(self.row.facility_id)

    @property
    def title(self) -> str:
        """What people call it."""
        return str(self.row.display_name or self.row.facility)
