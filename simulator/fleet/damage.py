"""What faults do to a facility: to its boards, to its hosts, and the events they leave.

Owns which boards are lost and which hosts are silent. When a fault comes is `scenario`; sending
the events is `facility`.
"""

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.boards import Boards
from simulator.fleet.layout import PlannedHost
from simulator.fleet.scenario import Change, Fault
from telemetry.records import Event, EventKind

XID_FELL_OFF_THE_BUS = 79
HOT_RACK_CELSIUS = 25
RUNAWAY_COOLING_PERCENT = 15


class Damage:
    """The faults that are in force.

    Attributes:
        lost: one a board: it does not answer.
        silent: one a host: nothing is heard of it.
    """

    def __init__(self, hosts: list[PlannedHost], gpus: int, boards: Boards) -> None:
        self._hosts, self._gpus, self._boards = hosts, gpus, boards
        self._racks = np.repeat([host.rack_number for host in hosts], gpus)
        self.lost: NDArray[np.bool_] = np.zeros(len(hosts) * gpus, np.bool_)
        self.silent: NDArray[np.bool_] = np.zeros(len(hosts), np.bool_)

    def apply(self, change: Change, now_us: int) -> list[tuple[int, Event]]:
        """Begin or mend a fault and return its events, each with the host that it is about."""
        fault, begins = change.fault, change.begins
        host = min(fault.host, len(self._hosts) - 1)
        gpu = min(fault.gpu, self._gpus - 1)
        board = host * self._gpus + gpu
        uuid = self._hosts[host].uuids[gpu]
        match fault.kind:
            case "xid":
                return [(host, _xid(uuid, fault.value or 0, now_us))] if begins else []
            case "lost":
                self.lost[board] = begins
                return [(host, event) for event in _loss(uuid, now_us, begins=begins)]
            case "silent":
                self.silent[host] = begins
            case "runaway":
                left = RUNAWAY_COOLING_PERCENT if fault.value is None else max(1, fault.value)
                self._boards.cooling[board] = left / 100 if begins else 1.0
            case "power_brake":
                self._boards.power_brake[board] = begins
            case "hot_rack":
                self._heat_rack(fault, begins=begins)
        return []

    def _heat_rack(self, fault: Fault, *, begins: bool) -> None:
        degrees = HOT_RACK_CELSIUS if fault.value is None else fault.value
        rack = min(fault.rack, int(self._racks[-1]))
        self._boards.inlet_shift[self._racks == rack] = degrees if begins else 0.0


def _xid(uuid: bytes, number: int, now_us: int) -> Event:
    return Event(
        time_us=now_us, kind=EventKind.XID, accelerator=uuid, code=number, message="simulated"
    )


def _loss(uuid: bytes, now_us: int, *, begins: bool) -> list[Event]:
    if not begins:
        return [Event(time_us=now_us, kind=EventKind.GPU_BACK, accelerator=uuid)]
    lost = Event(time_us=now_us, kind=EventKind.GPU_LOST, accelerator=uuid, message="simulated")
    return [_xid(uuid, XID_FELL_OFF_THE_BUS, now_us), lost]
