"""What runs beside the way of a reading: kernel log, host health, Prometheus text.

Owns which of them run and their threads. Each is a room of its own and optional; the readings
neither wait for any of them nor need one. All of them see what is sent (`note`), and what they have
to say goes the same way as everything else.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.accelerators import AcceleratorReading
from agent.drafts import Draft, EventDraft
from agent.exposition import Exposition
from agent.exposition_settings import ExpositionSettings
from agent.host.health import HostHealth, HostSettings
from agent.kernel_log.witness import KernelLogSettings, KernelLogWitness
from agent.witnesses import Witnesses
from agent.workloads.watch import OFF, WorkloadSettings, WorkloadWatch
from agent.xid_join import XidJoiner, XidSettings
from telemetry.clock import Clock
from telemetry.metrics import Group
from telemetry.records import Event, Heartbeat, Inventory

if TYPE_CHECKING:
    from agent.exposition_server import ExpositionServer

# What a heartbeat has room for, beside what the agent counts about itself.
COUNTS_MAX = 44
COUNT_MAX = 2**62

Put = Callable[[Iterable[Draft]], None]


@dataclass(frozen=True, kw_only=True)
class BesideSettings(
    KernelLogSettings, XidSettings, HostSettings, ExpositionSettings, WorkloadSettings
):
    """What may run beside."""


class Beside:
    """The rooms around one agent.

    Raises:
        ConfigError: the Prometheus address cannot be listened on.
    """

    def __init__(
        self,
        settings: BesideSettings,
        clock: Clock,
        put: Put,
        *,
        host: str,
        spool_folder: Path,
        interval_s: dict[Group, float],
    ) -> None:
        self._clock = clock
        self._put = put
        self._host_interval_s = settings.host_interval_s
        self._health = HostHealth(settings, spool_folder)
        self._healthy_counts: dict[str, int] = {}
        self._log = KernelLogWitness(settings, clock) if settings.kernel_log_path else None
        self._witnesses = Witnesses(XidJoiner(settings), self._log, clock, self._tell)
        self._workloads = (
            WorkloadWatch(Path(settings.proc_path), settings.workloads)
            if settings.workloads != OFF
            else None
        )
        self._exposition = Exposition(host, interval_s)
        self._server = _serving(settings.prometheus_listen, self._render)

    def works(self) -> dict[str, Callable[[threading.Event], None]]:
        """Return by name what wants a thread of its own, until the event it is given."""
        return {"witnesses": self._witnesses.listen, "host": self._watch_host}

    def heard(self, events: Sequence[Event]) -> None:
        """Take events that the driver reported; they leave joined with the kernel log's."""
        self._witnesses.heard(events)

    def wake(self) -> None:
        """Let the threads of `works` see that they are to end."""
        self._witnesses.wake()

    def note(self, drafts: Iterable[Draft]) -> None:
        """See what is being sent."""
        for draft in drafts:
            if isinstance(draft, EventDraft):
                for record in draft.records:
                    self._note_record(record)

    def note_readings(
        self, group: Group, readings: Sequence[AcceleratorReading], now_s: float
    ) -> None:
        """See what was read."""
        self._exposition.note_readings(group, readings, now_s)
        if self._workloads is not None and group is Group.SLOW:
            changed = self._workloads.note(readings, self._clock.now_us(), now_s)
            if changed is not None:
                self._put([EventDraft([changed])])

    def counts(self) -> dict[str, int]:
        """Return what the heartbeat tells about all this, no more than it has room for."""
        found = {} if self._log is None else dict(self._log.counters)
        found |= self._healthy_counts
        sound = [(name, count) for name, count in found.items() if 0 <= count <= COUNT_MAX]
        return dict(sound[:COUNTS_MAX])

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()

    def _note_record(self, record: object) -> None:
        if isinstance(record, Inventory):
            self._exposition.note_inventory(record)
            if self._log is not None:
                self._log.know(record.accelerators, record.driver_version)
        elif isinstance(record, Heartbeat):
            self._exposition.note_heartbeat(record)
        elif isinstance(record, Event):
            self._exposition.note_events([record])

    def _tell(self, events: Sequence[Event]) -> None:
        self._put([EventDraft(events)])

    def _watch_host(self, ending: threading.Event) -> None:
        while True:
            self._healthy_counts = self._health.read()
            changed = self._health.port_events(self._clock.now_us())
            if changed:
                self._tell(changed)
            if ending.wait(self._host_interval_s):
                return

    def _render(self) -> str:
        return self._exposition.render(self._clock.monotonic_s())


def _serving(listen: str, render: Callable[[], str]) -> "ExpositionServer | None":
    if not listen:
        return None
    # An HTTP server, and all that it needs, for an agent that serves.
    from agent.exposition_server import ExpositionServer  # noqa: PLC0415

    return ExpositionServer(listen, render)
