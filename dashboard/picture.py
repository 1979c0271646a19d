"""The fleet in memory: every accelerator in the order of its place, with its newest reading.

Owns the arrays that all live views read, and how rows of the database become them. It asks
nothing itself: `watch.py` feeds it. One picture serves all viewers of a process.

Order: facility, hall, row, rack, tray, host, index. So a facility, a rack and a host are slices.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.inventory import Found, Inventory
from dashboard.places import Facility, Host, Rack
from dashboard.states import Codes, Floats, classify
from dashboard.ticks import Ticks

Values = NDArray[Any]

# In place of a seat: a part of an accelerator that has one.
SEATLESS = -2
STALE_INTERVALS = 3
STALE_S_MIN = 30.0
READINGS = (
    "utilization_gpu_percent",
    "sm_active_permille",
    "tensor_active_permille",
    "memory_used_mebibytes",
    "temperature_gpu_celsius",
    "temperature_memory_celsius",
    "temperature_margin_celsius",
    "power_milliwatts",
    "power_limit_milliwatts",
    "clock_sm_megahertz",
    "clock_event_reasons_bitmask",
    "reader_status_code",
    "ecc_uncorrected_volatile_count",
    "remap_pending_flag",
    "remap_failed_flag",
    "recovery_action_code",
)


@dataclass(slots=True)
class Picture:
    """The newest known of everything.

    Attributes:
        layout_version: rises when a place or an accelerator came, went or moved.
        gpu_ids: number in the database, by seat.
        host_of: place in `hosts`, by seat.
        readings: newest value by catalogue name, NaN where missing, by seat.
        sizes: number of accelerators, by host.
        time_s: time of the newest tick, by host; NaN where there was none.
    """

    facilities: list[Facility] = field(default_factory=list)
    racks: list[Rack] = field(default_factory=list)
    hosts: list[Host] = field(default_factory=list)
    queues: list[Any] = field(default_factory=list)
    layout_version: int = 0
    gpu_ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    host_of: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    index_of: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    present: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    slowdown_celsius: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    readings: dict[str, Floats] = field(
        default_factory=lambda: {name: np.zeros(0, np.float32) for name in READINGS}
    )
    sizes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    time_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    interval_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    _states: tuple[float, Codes] | None = None
    _position_of: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _seat_of: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _hosts_by_id: dict[int, Host] = field(default_factory=dict)
    _inventory: Inventory = field(default_factory=Inventory)

    @property
    def facility_by_id(self) -> dict[int, Facility]:
        """The facilities by their ids."""
        return {facility.facility_id: facility for facility in self.facilities}

    def set_facilities(self, rows: Iterable[Any]) -> None:
        """Take the facilities; a change of their number lays everything out anew."""
        rows = list(rows)
        names = [row.facility for row in rows]
        fresh = [
            Facility(row, row.facility if names.count(row.facility) == 1 else _long_name(row))
            for row in rows
        ]
        if [f.facility_id for f in self.facilities] != [f.facility_id for f in fresh]:
            self.facilities = fresh
            self.lay_out()
        else:
            for old, new in zip(self.facilities, fresh, strict=True):
                old.row, old.slug = new.row, new.slug

    def set_inventory(self, hosts: Iterable[Any], found: Found) -> None:
        """Take hosts and accelerators that are new or changed."""
        changed = self._inventory.take(found)
        for row in hosts:
            place = (row.hall, row.row, row.rack)
            host = Host(row.host_id, row.facility_id, row.rack_id, row.host, row.tray, place)
            old = self._hosts_by_id.get(row.host_id)
            if old is None or (old.rack_id, old.tray) != (host.rack_id, host.tray):
                self._hosts_by_id[row.host_id] = host
                changed = True
        if changed:
            self.lay_out()

    def lay_out(self) -> None:
        """Put all hosts and accelerators in the order of their places; readings move along."""
        self._states = None
        order = {facility.facility_id: n for n, facility in enumerate(self.facilities)}
        hosts = sorted(
            (host for host in self._hosts_by_id.values() if host.facility_id in order),
            key=lambda host: (order[host.facility_id], host.place, host.tray, host.name),
        )
        host_ids = np.fromiter((host.host_id for host in hosts), np.int64, len(hosts))
        before = _look_up(self._position_of, host_ids)
        self.time_s = _moved(self.time_s, before, np.nan)
        self.interval_s = _moved(self.interval_s, before, 0.0)
        self._position_of = np.full(max(self._hosts_by_id, default=0) + 1, -1, np.int64)
        self._position_of[host_ids] = np.arange(len(hosts))
        for host in self._hosts_by_id.values():
            host.position = -1
        for position, host in enumerate(hosts):
            host.position = position
        self.hosts = hosts
        self._seat_accelerators()
        self._slice()
        self.layout_version += 1

    def _seat_accelerators(self) -> None:
        inventory = self._inventory
        positions = _look_up(self._position_of, inventory.host_ids)
        placed = positions >= 0
        gpu_ids = np.flatnonzero(placed & ~inventory.parts)
        gpu_ids = gpu_ids[np.lexsort((inventory.indices[gpu_ids], positions[gpu_ids]))]
        before = _look_up(self._seat_of, gpu_ids)
        for name, column in self.readings.items():
            self.readings[name] = _moved(column, before, np.nan)
        self._seat_of = np.where(placed & inventory.parts, SEATLESS, -1)
        self._seat_of[gpu_ids] = np.arange(len(gpu_ids))
        self.gpu_ids = gpu_ids
        self.host_of = positions[gpu_ids]
        self.index_of = inventory.indices[gpu_ids]
        self.present = inventory.present[gpu_ids]
        self.slowdown_celsius = inventory.slowdown_celsius[gpu_ids]
        edges = np.searchsorted(self.host_of, np.arange(len(self.hosts) + 1))
        self.sizes = np.diff(edges)
        for host, first, last in zip(
            self.hosts, edges[:-1].tolist(), edges[1:].tolist(), strict=True
        ):
            host.first, host.last = first, last

    def _slice(self) -> None:
        """Find where each rack and facility begins and ends."""
        self.racks = []
        start = 0
        for end in range(1, len(self.hosts) + 1):
            if end < len(self.hosts) and self.hosts[end].rack_id == self.hosts[start].rack_id:
                continue
            first, last = self.hosts[start], self.hosts[end - 1]
            self.racks.append(
                Rack(
                    first.rack_id,
                    first.facility_id,
                    first.place,
                    slice(start, end),
                    slice(first.first, last.last),
                )
            )
            start = end
        for facility in self.facilities:
            facility.racks = _span(self.racks, facility.facility_id)
            facility.hosts = _span(self.hosts, facility.facility_id)
            hosts = self.hosts[facility.hosts]
            facility.seats = slice(hosts[0].first, hosts[-1].last) if hosts else slice(0, 0)
            facility.models = self._inventory.models(self.gpu_ids[facility.seats])

    def set_readings(self, ticks: Ticks) -> set[int]:
        """Take newest ticks; return the hosts that, or whose accelerators, are not known here."""
        self._states = None
        positions = _look_up(self._position_of, ticks.host_ids)
        placed = positions >= 0
        seats = _look_up(self._seat_of, ticks.gpu_ids)
        known = (seats >= 0) & placed[:, np.newaxis]
        for name, column in self.readings.items():
            column[seats[known]] = ticks.readings[name][known]
        self.time_s[positions[placed]] = ticks.time_s[placed]
        self.interval_s[positions[placed]] = ticks.interval_s[placed]
        whole = placed & (known | (seats == SEATLESS)).all(axis=1)
        return set(ticks.host_ids[~whole].tolist())

    def stale_hosts(self, now_s: float) -> NDArray[np.bool_]:
        """Tell, by host, whether its newest tick is too old to be called live."""
        limit_s = np.maximum(STALE_S_MIN, STALE_INTERVALS * self.interval_s)
        with np.errstate(invalid="ignore"):
            return np.asarray(now_s - self.time_s > limit_s)

    def states(self, now_s: float) -> Codes:
        """Return the state of every accelerator, by seat; made once for a moment, and read-only."""
        if self._states is None or self._states[0] != now_s:
            stale = self.stale_hosts(now_s)
            seen = ~np.isnan(self.time_s)
            codes = classify(
                self.readings,
                seen=seen[self.host_of],
                stale=stale[self.host_of],
                present=self.present,
            )
            codes.flags.writeable = False
            self._states = (now_s, codes)
        return self._states[1]

    def headroom_celsius(self) -> Floats:
        """Return degrees left to slowdown; from the limit where the driver tells no margin."""
        margin = self.readings["temperature_margin_celsius"]
        derived = self.slowdown_celsius - self.readings["temperature_gpu_celsius"]
        return np.where(np.isnan(margin), derived, margin)

    def facility(self, slug: str) -> Facility | None:
        """Find a facility by the name in an address."""
        return next((f for f in self.facilities if f.slug == slug), None)


def _span(items: list[Any], facility_id: int) -> slice:
    """Where the items of a facility are; they stand together."""
    inside = [n for n, item in enumerate(items) if item.facility_id == facility_id]
    return slice(inside[0], inside[-1] + 1) if inside else slice(0, 0)


def _look_up(table: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the entries of a table, -1 for keys that it has not."""
    found = np.full(keys.shape, -1, np.int64)
    inside = (keys >= 0) & (keys < len(table))
    found[inside] = table[keys[inside]]
    return found


def _moved(column: Values, before: NDArray[np.int64], missing: float) -> Values:
    """Return a column in a new order: `before` is the old place of each, -1 where it is new."""
    moved = np.full(len(before), missing, column.dtype)
    moved[before >= 0] = column[before[before >= 0]]
    return moved


def _long_name(row: Any) -> str:
    return f"{row.tenant}/{row.facility}"
