"""Host health as one flat table of counts, and as events when a port goes down.

Owns the settings and the order of reading. A part that cannot be read is left out, so the rest is
still told.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from agent.host import procfs
from agent.host.clock_sync import ClockSync, read_clock_sync
from agent.host.network import Port, read_interfaces, read_ports, sum_ports
from telemetry.records import Detail, Event, EventKind

MEBIBYTE = 1 << 20
FILE_BYTES_MAX = 1 << 20
# Going through all processes costs four times what all the rest does; what hangs stays there.
READINGS_PER_COUNT_OF_PROCESSES = 2


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """Where the host is read, and how often."""

    host_interval_s: Annotated[
        float, Meta(ge=1, le=3600, description="seconds between two readings of the host's health")
    ] = 30.0
    proc_path: Annotated[str, Meta(description="where the kernel's /proc is")] = "/proc"
    sys_path: Annotated[str, Meta(description="where the kernel's /sys is")] = "/sys"


class HostHealth:
    """Reads the host. A call takes milliseconds, more with thousands of processes.

    Args:
        disk: a folder on the disk that matters, the spool's.
        ask_clock: asks the kernel whether its clock is synchronised.
    """

    def __init__(
        self,
        settings: HostSettings,
        disk: Path,
        ask_clock: Callable[[], ClockSync] = read_clock_sync,
    ) -> None:
        self._proc = Path(settings.proc_path)
        self._sys = Path(settings.sys_path)
        self._disk = disk
        self._ask_clock = ask_clock
        self._active: dict[str, bool] = {}
        self._processes: dict[str, int] = {}
        self._readings = 0

    def read(self) -> dict[str, int]:
        """Return what there is, by name with its unit; fewer than 40 entries."""
        ticks_per_second = os.sysconf("SC_CLK_TCK")
        found = procfs.parse_cpu(self._text("stat"), ticks_per_second)
        found |= procfs.parse_memory(self._text("meminfo"))
        found |= procfs.parse_out_of_memory(self._text("vmstat"))
        found |= procfs.parse_load(self._text("loadavg"))
        found |= procfs.parse_uptime(self._text("uptime"))
        found |= self._count_processes()
        found |= read_interfaces(self._proc, self._sys)
        found |= sum_ports(read_ports(self._sys))
        found |= self._read_disk()
        found |= self._read_clock()
        return found

    def changed_ports(self) -> list[tuple[Port, bool]]:
        """Return the ports that came up or went down since the last call, each with whether it is.

        The first call tells of those that are down.
        """
        ports = {port.name: port for port in read_ports(self._sys)}
        # An adapter that fell off the bus takes its ports with it.
        for name in self._active.keys() - ports.keys():
            ports[name] = Port(name, "", active=False, rate_gigabits_per_second=None, counters={})
        before, self._active = self._active, {name: port.active for name, port in ports.items()}
        return [
            (port, port.active)
            for name, port in ports.items()
            if before.get(name, True) != port.active
        ]

    def port_events(self, time_us: int) -> list[Event]:
        """Return the same changes as events of the host."""
        return [_port_event(port, time_us, up=up) for port, up in self.changed_ports()]

    def _count_processes(self) -> dict[str, int]:
        """Return how many processes there are and hang, counted in each other reading."""
        if self._readings % READINGS_PER_COUNT_OF_PROCESSES == 0:
            self._processes = {}
            with suppress(OSError):
                self._processes = procfs.count_stuck_processes(self._proc)
        self._readings += 1
        return self._processes

    def _read_disk(self) -> dict[str, int]:
        try:
            room = os.statvfs(self._disk)
        except OSError:
            return {}
        return {
            "disk_total_mebibytes": room.f_blocks * room.f_frsize // MEBIBYTE,
            "disk_available_mebibytes": room.f_bavail * room.f_frsize // MEBIBYTE,
            "disk_files_available_count": room.f_favail,
            "disk_read_only_flag": int(bool(room.f_flag & os.ST_RDONLY)),
        }

    def _read_clock(self) -> dict[str, int]:
        try:
            sync = self._ask_clock()
        except OSError:
            return {}
        return {
            "clock_synchronised_flag": int(sync.synchronised),
            "clock_error_max_microseconds": sync.error_max_us,
        }

    def _text(self, name: str) -> str:
        try:
            with (self._proc / name).open("rb") as file:
                return file.read(FILE_BYTES_MAX).decode("ascii", "replace")
        except OSError:
            return ""


def _port_event(port: Port, time_us: int, *, up: bool) -> Event:
    detail: Detail = {"port": port.name, "link_layer": port.link_layer}
    if port.rate_gigabits_per_second is not None:
        detail["rate_gigabits_per_second"] = port.rate_gigabits_per_second
    layer = f" ({port.link_layer})" if port.link_layer else ""
    return Event(
        time_us=time_us,
        kind=EventKind.PORT_UP if up else EventKind.PORT_DOWN,
        message=f"port {port.name}{layer} is {'up' if up else 'down'}",
        detail=detail,
    )
