"""Mosaics: every accelerator as one cell, in the order of its place.

Owns which cell is which seat of the picture, and how a signal becomes one byte a cell. The browser
paints the bytes (`assets/21-mosaic.js`): a rack is a rectangle of hosts x accelerators, a facility
is a run of racks. Layouts change rarely and have an address of their own; values change each tick.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dashboard.picture import Picture
from dashboard.places import Facility
from dashboard.states import LABELS, SIGHTLESS, Codes, Floats, State
from dashboard.wording import with_unit

# Values of a signal are 0 … 200; then come the states that have no value, then two more.
LEVELS = 200
SIGHTLESS_BASE = 210
NOT_TOLD = 250
NO_SEAT = 255


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that a mosaic can be coloured by.

    Attributes:
        low: value at the bottom of the scale; everything below looks the same.
        high: value at its top.
        ramp: name of the colour scale in `assets/00-theme.css`.
        scale: shown value = stored value x scale.
    """

    label: str
    unit: str
    low: float
    high: float
    ramp: str
    reading: str = ""
    scale: float = 1.0


SIGNALS: Mapping[str, Signal] = {
    "state": Signal("State", "", 0, 0, "state"),
    "utilisation": Signal("Utilisation", "%", 0, 100, "load", "utilization_gpu_percent"),
    "sm": Signal("SM activity", "%", 0, 100, "load", "sm_active_permille", 0.1),
    "headroom": Signal("Headroom", "°C", 0, 40, "headroom"),
    "temperature": Signal("Temperature", "°C", 30, 95, "heat", "temperature_gpu_celsius"),
    "hbm": Signal("HBM temperature", "°C", 30, 105, "heat", "temperature_memory_celsius"),
    "power": Signal("Power", "W", 0, 1200, "load", "power_milliwatts", 0.001),
    "memory": Signal("Memory used", "GiB", 0, 192, "load", "memory_used_mebibytes", 1 / 1024),
    "age": Signal("Age", "s", 0, 60, "heat"),
}


@dataclass(frozen=True, slots=True)
class Mosaic:
    """The cells of some facilities.

    Attributes:
        layout: groups of racks, as the browser wants them, encoded.
        seats: seat of the picture by cell; -1 where a host has fewer accelerators than its rack
            is wide.
    """

    layout: bytes
    seats: NDArray[np.int64]


class Maps:
    """Mosaics by facility, made anew when the layout of the picture changes."""

    def __init__(self) -> None:
        self._version = -1
        self._made: dict[str, Mosaic] = {}

    def of(self, picture: Picture, slug: str = "") -> Mosaic:
        """Return the mosaic of a facility, or of the whole fleet."""
        if self._version != picture.layout_version:
            self._version = picture.layout_version
            self._made.clear()
        if slug not in self._made:
            chosen = [f for f in picture.facilities if slug in ("", f.slug)]
            self._made[slug] = _make(picture, chosen)
        return self._made[slug]


def _make(picture: Picture, facilities: list[Facility]) -> Mosaic:
    groups: list[dict[str, Any]] = []
    seats: list[NDArray[np.int64]] = []
    for facility in facilities:
        racks = []
        for rack in picture.racks[facility.racks]:
            hosts = [h for h in picture.hosts[rack.hosts] if h.last > h.first]
            if not hosts:
                continue
            width = max(host.last - host.first for host in hosts)
            cells = np.full((len(hosts), width), -1, np.int64)
            for n, host in enumerate(hosts):
                cells[n, : host.last - host.first] = np.arange(host.first, host.last)
            seats.append(cells.reshape(-1))
            racks.append([rack.title, rack.rack_id, len(hosts), width])
        if racks:
            known = facility.seats.stop - facility.seats.start
            missing = max(0, (facility.row.contracted_accelerators or 0) - known)
            group = {"label": facility.title, "slug": facility.slug, "racks": racks}
            groups.append({**group, "absent": missing})
    flat = np.concatenate(seats) if seats else np.zeros(0, np.int64)
    return Mosaic(msgspec.json.encode({"groups": groups}), flat)


def levels(picture: Picture, states: Codes, name: str, now_s: float) -> Codes:
    """Return one byte a seat: the state itself, or the level of a signal where it is known."""
    if name == "state":
        return states
    signal = SIGNALS[name]
    values = signal_values(picture, name, now_s)
    with np.errstate(invalid="ignore"):
        scaled = (values - signal.low) / (signal.high - signal.low) * LEVELS
        codes = np.where(np.isnan(scaled), NOT_TOLD, np.clip(scaled, 0, LEVELS)).astype(np.uint8)
    for state in SIGHTLESS:
        codes[states == state] = SIGHTLESS_BASE + state
    return codes


def signal_values(picture: Picture, name: str, now_s: float) -> Floats:
    """Return the shown value of a signal by seat, NaN where it is not told."""
    if name == "headroom":
        return picture.headroom_celsius()
    if name == "age":
        return np.asarray((now_s - picture.time_s)[picture.host_of], np.float32)
    signal = SIGNALS[name]
    return picture.readings[signal.reading] * np.float32(signal.scale)


def cells(mosaic: Mosaic, codes: Codes) -> bytes:
    """Return one byte a cell from one byte a seat."""
    padded = np.append(codes, np.uint8(NO_SEAT))
    return padded[mosaic.seats].tobytes()


def describe(picture: Picture, mosaic: Mosaic, cell: int, now_s: float) -> dict[str, Any] | None:
    """Name what is in a cell and give its newest readings; None where there is nothing."""
    if not 0 <= cell < len(mosaic.seats) or mosaic.seats[cell] < 0:
        return None
    seat = int(mosaic.seats[cell])
    host = picture.hosts[int(picture.host_of[seat])]
    facility = next(f for f in picture.facilities if f.facility_id == host.facility_id)
    state = State(int(picture.states(now_s)[seat]))
    told = {}
    for name in ("utilisation", "sm", "headroom", "temperature", "power"):
        value = float(signal_values(picture, name, now_s)[seat])
        if not np.isnan(value):
            told[SIGNALS[name].label] = with_unit(value, SIGNALS[name].unit)
    time_s = picture.time_s[int(picture.host_of[seat])]
    return {
        "facility": facility.title,
        "slug": facility.slug,
        "rack": " / ".join(part for part in host.place if part),
        "host": host.name,
        "index": int(picture.index_of[seat]),
        "state": LABELS[state],
        "code": int(state),
        "readings": {} if state in SIGHTLESS else told,
        "time": None if np.isnan(time_s) else float(time_s),
    }
