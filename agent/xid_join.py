"""Two witnesses of one fault made one event, and a burst of faults made its root. Pure.

Owns what leaves the host about Xid and SXid. NVML's event and the driver's line of the same board
and number become one event with both as evidence, after a short wait for the second witness. What
follows within minutes is collapsed: each number (and sub-code, and recovery action) passes once,
marked with the root; repeats, and channel removals that follow something worse, are counted and
told in one `xid_burst` event at the end. Nothing is left out without being counted.

Bursts go by the time of the events, so that a day of old lines, read at start, is many bursts.
"""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from agent.xid_burst import Burst
from telemetry.records import Event, EventKind

# A wall clock that was set back must not make everything part of an old burst.
BACKWARDS_US = 5_000_000
BURSTS_MAX = 512


@dataclass(frozen=True, kw_only=True)
class XidSettings:
    """How long faults are held together."""

    xid_hold_s: Annotated[
        float,
        Meta(ge=0, le=5, description="seconds that a fault waits for its second witness"),
    ] = 0.4
    xid_burst_s: Annotated[
        float,
        Meta(ge=1, le=3600, description="seconds in which repeats of a fault are only counted"),
    ] = 180.0


class XidJoiner:
    """Holds faults until they can leave. All other events pass at once. Used by one thread."""

    def __init__(self, settings: XidSettings) -> None:
        self._hold_s = settings.xid_hold_s
        self._burst_s = settings.xid_burst_s
        self._bursts: dict[bytes, Burst] = {}

    def add(self, event: Event, now_s: float) -> list[Event]:
        """Take an event of either witness; return what may leave now."""
        if event.kind not in (EventKind.XID, EventKind.SXID):
            return [event]
        key = event.accelerator or str(event.detail.get("pci_address", "")).encode()
        burst = self._bursts.get(key)
        out: list[Event] = []
        if burst is not None and not self._within(burst, event.time_us):
            out += self._bursts.pop(key).finish()
            burst = None
        if burst is None:
            if len(self._bursts) >= BURSTS_MAX:
                out += self._bursts.pop(next(iter(self._bursts))).finish()
            burst = self._bursts[key] = Burst(now_s, event.time_us)
        burst.note(event, now_s)
        return out + burst.tell(now_s, self._hold_s)

    def due(self, now_s: float) -> list[Event]:
        """Return what has waited long enough. Call it when `next_due_s` says."""
        out: list[Event] = []
        for key, burst in list(self._bursts.items()):
            out += burst.tell(now_s, self._hold_s)
            if now_s - burst.opened_s >= self._burst_s:
                out += self._bursts.pop(key).finish()
        return out

    def next_due_s(self) -> float | None:
        """Return when `due` will have something to do; None while nothing is held."""
        times = [burst.next_due_s(self._hold_s, self._burst_s) for burst in self._bursts.values()]
        return min(times, default=None)

    def flush(self) -> list[Event]:
        """Return everything that is held: the agent stops."""
        out = [event for burst in self._bursts.values() for event in burst.finish()]
        self._bursts.clear()
        return out

    def _within(self, burst: Burst, time_us: int) -> bool:
        return -BACKWARDS_US <= time_us - burst.opened_us < self._burst_s * 1_000_000
