"""The simulated driver of one host: its boards, its events and its faults.

Owns the lock, time, event queues and the methods by which a test or a scenario breaks things.
All of them may be called from any thread. It knows no ctypes: `library` answers NVML calls from
what stands here.
"""

import itertools
import threading
from collections.abc import Callable
from typing import NamedTuple

from simulator.nvml.device import MIG_SLICES, NEVER_S, REFRESH_S, SimulatedGpu
from simulator.nvml.event_sets import (
    EVENT_DOUBLE_BIT_ECC,
    EVENT_MIG_CONFIG_CHANGE,
    EVENT_RECOVERY_ACTION,
    EVENT_XID,
    EventSets,
)
from simulator.nvml.load import ClusterLoad, LoadSource
from simulator.nvml.physics import Totals
from simulator.nvml.plan import Plan
from simulator.nvml.profile import Links, Profile
from telemetry.clock import Clock

XID_DOUBLE_BIT_ECC = 48
XID_OFF_THE_BUS = 79
RECOVERY_GPU_RESET = 1

# How soon a waiting call notices a planned fault; the driver's clock need not be the machine's.
POLL_S = 0.02


class GpmSample(NamedTuple):
    """What a board had done by a certain time."""

    slot: int
    taken_s: float
    totals: Totals
    links: Links


class SimulatedDriver:
    """The NVIDIA driver of one simulated host.

    Args:
        profiles: one board each, in slot order; at least one.
        clock: tells the time by which physics advance.
        seed: gives boards their identities and noise: the host's name, so that no two hosts of a
            fleet have a board in common.
        load: where demand comes from; jobs of a real cluster's distribution unless given.
        noise: 0 for a driver that repeats itself exactly, 1 for a natural one.
        running_for_s: how long the boards have been under load when they are first asked.
    """

    def __init__(
        self,
        profiles: list[Profile],
        clock: Clock,
        *,
        seed: str = "0",
        load: LoadSource | None = None,
        noise: float = 1.0,
        running_for_s: float = 600.0,
    ) -> None:
        self.clock = clock
        self.load = load or ClusterLoad(f"{seed}/load")
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.profile = profiles[0]
        """Of the first board; the driver's own versions stand there."""
        self.refusal = 0
        """The NVML error that every call returns; 0 when the driver works."""
        self.initialised = 0
        self.event_sets = EventSets()
        self.gpm_samples: dict[int, GpmSample | None] = {}
        self._seed, self._noise = seed, noise
        self._generations = itertools.count()
        self._planned = Plan()
        self._hung: set[tuple[int | None, str]] = set()
        self._released = threading.Event()
        self._released.set()
        loaded_s = clock.monotonic_s() - running_for_s
        self.gpus = [self._make(profile, slot, loaded_s) for slot, profile in enumerate(profiles)]

    def _make(self, profile: Profile, slot: int, loaded_s: float) -> SimulatedGpu:
        seed = f"{self._seed}/{slot}/{next(self._generations)}"
        return SimulatedGpu(profile, slot, seed, loaded_s, noise=self._noise)

    def advance(self, slot: int, refresh_s: float = REFRESH_S) -> SimulatedGpu:
        """Bring a board up to now, unless that was done just before. Call with the lock held."""
        gpu = self.gpus[slot]
        if gpu.advance(self.clock.monotonic_s(), self.load, refresh_s):
            self.lose(slot)
        return gpu

    @property
    def troubled(self) -> bool:
        """Whether anything hangs, is refused, or is planned: nearly always not."""
        return bool(self._hung or self.refusal or self._planned)

    def vouch(self, gpu: SimulatedGpu) -> None:
        """Let calls about a board be answered by it alone until it is to be brought up to now.

        Only where nothing is wrong with it; whatever goes wrong later calls `doubt`.
        """
        if self.initialised and not self.troubled and not gpu.odd:
            gpu.plain_until_s = gpu.advanced_s + REFRESH_S

    def refresh(self, gpu: SimulatedGpu) -> bool:
        """Bring a board that was vouched for up to now, and vouch again; False if it cannot be."""
        with self.lock:
            if gpu.plain_until_s == NEVER_S:
                return False
            self.advance(gpu.slot)
            if gpu.plain_until_s == NEVER_S:
                return False
            gpu.plain_until_s = gpu.advanced_s + REFRESH_S
            return True

    def doubt(self) -> None:
        """Let no call be answered by its board alone before it has been looked at."""
        for gpu in self.gpus:
            gpu.plain_until_s = NEVER_S

    def is_lost(self, slot: int) -> bool:
        """Whether a board is off the bus, or gone altogether."""
        return slot >= len(self.gpus) or self.gpus[slot].lost

    # What goes wrong, and what mends it.

    def lose(self, slot: int, xid: int | None = XID_OFF_THE_BUS) -> None:
        """Let a board fall off the bus, with that Xid as its last word, or silently with None."""
        with self.changed:
            self.doubt()
            if xid is not None:
                self._post(slot, EVENT_XID, xid)
            self.gpus[slot].lost = True
            self.changed.notify_all()

    def bring_back(self, slot: int) -> None:
        """Let a lost board answer again, as after a reset."""
        with self.changed:
            self.gpus[slot].revive(self.clock.monotonic_s())

    def swap(self, slot: int, profile: Profile | None = None) -> None:
        """Put another board into the slot: new UUID and serial, fresh counters."""
        with self.changed:
            self.doubt()
            replaced = profile or self.gpus[slot].profile
            self.gpus[slot] = self._make(replaced, slot, self.clock.monotonic_s())

    def remove_last(self) -> None:
        """Take the last board out, so that the count is one less."""
        with self.changed:
            self.doubt()
            self.gpus.pop()

    def raise_xid(self, slot: int, code: int) -> None:
        """Report an Xid; the board goes on working."""
        with self.changed:
            self._post(slot, EVENT_XID, code)

    def raise_double_bit_error(self, slot: int) -> None:
        """Count an uncorrectable memory error with all that follows: events, remap, reset."""
        with self.changed:
            counters = self.gpus[slot].counters
            counters.uncorrected += 1
            counters.rows_uncorrected += 1
            counters.remap_pending = True
            counters.recovery_action = RECOVERY_GPU_RESET
            self._post(slot, EVENT_DOUBLE_BIT_ECC, 0)
            self._post(slot, EVENT_XID, XID_DOUBLE_BIT_ECC)
            self._post(slot, EVENT_RECOVERY_ACTION, RECOVERY_GPU_RESET)

    def set_cooling(self, slot: int, share: float) -> None:
        """Let only that share of the cooling work: 1 is healthy, 0.02 a thermal runaway."""
        with self.lock:
            self.gpus[slot].physics.cooling = max(share, 0.01)

    def set_power_brake(self, slot: int, *, on: bool) -> None:
        """Assert the power supply's brake on a board."""
        with self.lock:
            self.gpus[slot].physics.power_brake = on

    def set_unsupported(self, slot: int, name: str) -> None:
        """Make a function, or a field as `field 82`, answer "not supported"."""
        with self.lock:
            self.doubt()
            self.gpus[slot].unsupported.add(name)

    def set_supported(self, slot: int, name: str) -> None:
        """Undo `set_unsupported`."""
        with self.lock:
            self.gpus[slot].unsupported.discard(name)

    def set_nvlink(self, slot: int, link: int, *, up: bool) -> None:
        """Bring one NVLink of a board down or up."""
        with self.lock:
            down = self.gpus[slot].links_down
            if up:
                down.discard(link)
            else:
                down.add(link)

    def set_failing(self, slot: int, name: str, code: int) -> None:
        """Make a function or field fail with that NVML error; 0 mends it."""
        with self.lock:
            self.doubt()
            if code:
                self.gpus[slot].failing[name] = code
            else:
                self.gpus[slot].failing.pop(name, None)

    def set_garbage(self, slot: int, name: str, value: int | bytes | None) -> None:
        """Make a function or field give that number, or those bytes as text; None mends it."""
        with self.lock:
            self.doubt()
            if value is None:
                self.gpus[slot].garbage.pop(name, None)
            else:
                self.gpus[slot].garbage[name] = value

    def set_mig(self, slot: int, *, on: bool, instances: int = 0) -> None:
        """Cut a board into instances, or make it whole: it does not tell its use while it is cut.

        Instances that were there are gone, even if as many come after them.
        """
        if not 0 <= instances <= MIG_SLICES:
            raise ValueError(f"a board has from 0 to {MIG_SLICES} instances, not {instances}")
        with self.changed:
            gpu = self.gpus[slot]
            gpu.mig_enabled = on
            gpu.cut(instances if on else 0, f"{self._seed}/{slot}/mig")
            self._post(slot, EVENT_MIG_CONFIG_CHANGE, 0)

    def add_to_counter(self, slot: int, name: str, amount: int) -> None:
        """Raise one of a board's `Counters`; a flag is set by any amount but 0."""
        with self.lock:
            counters = self.gpus[slot].counters
            value = getattr(counters, name)
            raised = bool(amount) if isinstance(value, bool) else value + amount
            setattr(counters, name, raised)

    def refuse_all(self, code: int) -> None:
        """Let every call fail: 18 is a kernel module upgraded under the library, 9 one unloaded.

        0 mends it.
        """
        with self.changed:
            self.doubt()
            self.refusal = code
            self.changed.notify_all()

    def hang(self, slot: int | None = None, name: str = "") -> None:
        """Let calls block until `release`: about one board or all, of one function or all."""
        with self.lock:
            self.doubt()
            self._released.clear()
            self._hung.add((slot, name))

    def release(self) -> None:
        """Let hung calls go on."""
        with self.lock:
            self._hung.clear()
            self._released.set()

    def wait_while_hung(self, slot: int | None, name: str) -> None:
        """Block as long as that call about that board hangs. Call without the lock."""
        while self._hung and not self._hung.isdisjoint(
            ((None, ""), (None, name), (slot, ""), (slot, name))
        ):
            self._released.wait()

    # What is planned.

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Run an action that many seconds from now, by this driver's clock.

        It runs inside the first call into the driver that comes after its time.
        """
        with self.changed:
            self.doubt()
            self._planned.add(self.clock.monotonic_s() + seconds, action)
            self.changed.notify_all()

    def apply_schedule(self) -> None:
        """Run the actions that are due. Call with the lock held."""
        if self._planned:
            self._planned.run_due(self.clock.monotonic_s())

    def until_next_change_s(self, at_most_s: float) -> float:
        """How long a waiting call may sleep before it must look again."""
        self.apply_schedule()
        return min(at_most_s, POLL_S) if self._planned else at_most_s

    def _post(self, slot: int, event_type: int, data: int) -> None:
        self.event_sets.post(slot, event_type, data)
        self.changed.notify_all()
