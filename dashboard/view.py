"""What a page shows, as its address says it: page, filters and time range.

Owns the parsing of addresses and its bounds. Anything unknown is left out, anything too large is
cut and said, so that an address can never ask for more than a screen can show.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

RANGES_S = {"15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800}
RANGE_DEFAULT = "1h"
PARAMETERS = (
    "facility", "range", "from", "to", "signal", "host", "rack", "gpu", "queue", "kind", "incident",
    "alert", "at", "racks", "show", "cycle",
)  # fmt: skip
VALUE_CHARS_MAX = 160
SEARCH_CHARS_MAX = 4096
FIELDS_MAX = 64
SPAN_S_MAX = 31 * 86_400
POINTS_MAX = 400
# What the collector keeps: see the views `facility_rollup`, `rack_rollup` and `facility_spread`.
ROLLUPS_S = (10, 60, 3600)
SPREADS_S = ((60, 60), (300, 600), (3600, 21_600))
STEPS_S = (10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600)

_PLAIN = re.compile(r"[A-Za-z0-9 ._:/@+,-]+")


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, and the step at which it is drawn.

    Attributes:
        start_s: seconds since 1970, a multiple of the step.
        end_s: where the axis ends.
        step_s: one point a step.
        live: whether the end is now.
        note: what was cut from what the address asked for; empty if nothing was.
    """

    start_s: float
    end_s: float
    step_s: int
    live: bool = True
    note: str = ""

    @property
    def points(self) -> int:
        """How many steps it has, the unfinished one included."""
        return int((self.end_s - self.start_s) // self.step_s) + 1

    @property
    def rollup_s(self) -> int:
        """The coarsest rollup that still fills each step."""
        return max((s for s in ROLLUPS_S if s <= self.step_s), default=ROLLUPS_S[0])

    @property
    def spread_s(self) -> int:
        """The step at which the spread of racks is kept that comes nearest."""
        return next((s for s, up_to_s in SPREADS_S if self.step_s <= up_to_s), SPREADS_S[-1][0])


@dataclass(frozen=True, slots=True)
class View:
    """One page with its filters; equal views are computed once for all their viewers."""

    path: str
    parameters: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, path: str, search: str) -> "View":
        """Read an address. It never fails: what makes no sense is not there."""
        fields = search.removeprefix("?")[:SEARCH_CHARS_MAX].split("&")[:FIELDS_MAX]
        return cls.of(path, dict(parse_qsl("&".join(fields))))

    @classmethod
    def of(cls, path: str, values: Mapping[str, object]) -> "View":
        """Make a view from loose parameters."""
        kept = [
            (key, text)
            for key in PARAMETERS
            if isinstance(text := values.get(key), str)
            and len(text) <= VALUE_CHARS_MAX
            and _PLAIN.fullmatch(text)
        ]
        return cls(path, tuple(kept))

    def get(self, key: str, default: str = "") -> str:
        """Return a parameter."""
        return next((value for name, value in self.parameters if name == key), default)

    def href(self, path: str | None = None, **changes: str | None) -> str:
        """Return the address of this view with some parameters changed or, with None, left out."""
        values = dict(self.parameters)
        for key, value in changes.items():
            name = key.rstrip("_")
            if value is None:
                values.pop(name, None)
            else:
                values[name] = value
        query = urlencode({key: values[key] for key in PARAMETERS if key in values}, safe="/:,")
        return (path or self.path) + (f"?{query}" if query else "")

    def elsewhere(self, path: str, **filters: str) -> str:
        """Return the address of another page at the same time range."""
        times = {key: self.get(key) for key in ("range", "from", "to") if self.get(key)}
        return View.of(path, {**times, **filters}).href()

    @property
    def range_name(self) -> str:
        """The chosen range: a key of RANGES_S, or `custom`."""
        if self._fixed() is not None:
            return "custom"
        name = self.get("range", RANGE_DEFAULT)
        return name if name in RANGES_S else RANGE_DEFAULT

    def window(self, now_s: float, points_max: int = POINTS_MAX) -> Window:
        """Return the span of time to show."""
        fixed = self._fixed()
        note = ""
        if fixed is None:
            start_s, end_s = now_s - RANGES_S[self.range_name], now_s
            if self.get("from") or self.get("to"):
                note = f"this range makes no sense: here are the last {self.range_name}"
        else:
            start_s, end_s = fixed
            if end_s - start_s > SPAN_S_MAX:
                start_s = end_s - SPAN_S_MAX
                note = f"the range was cut to its last {SPAN_S_MAX // 86_400} days"
        span_s = end_s - start_s
        step_s = next((s for s in STEPS_S if span_s / s <= points_max), STEPS_S[-1])
        return Window(start_s // step_s * step_s, end_s, step_s, live=fixed is None, note=note)

    def _fixed(self) -> tuple[float, float] | None:
        start_s, end_s = epoch(self.get("from")), epoch(self.get("to"))
        if start_s is None or end_s is None or end_s - start_s < STEPS_S[0]:
            return None
        return start_s, end_s


def epoch(text: str) -> float | None:
    """Read a time: seconds since 1970, or ISO 8601, which is UTC unless it says otherwise."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            time = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
            seconds = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    return seconds if 0 <= seconds < 7_258_118_400 else None
