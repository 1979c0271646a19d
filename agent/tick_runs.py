"""Ticks that wait for others, until enough of them make one message.

Owns when a run of ticks is over. What waits is in the spool as well, so that an agent that dies
loses none of it; `add` and what ends a run are called within a transaction of the spool they name.
"""

from collections.abc import Callable, Mapping, Sequence

from agent.drafts import SampleTick
from agent.messages import full
from agent.spool import Spool
from telemetry.metrics import Group

# Makes the message of a run.
End = Callable[[Sequence[SampleTick]], None]


class TickRuns:
    """The run of each group.

    Args:
        ticks_max: per group, ticks of one message.
    """

    def __init__(self, ticks_max: Mapping[Group, int]) -> None:
        self._ticks_max = ticks_max
        self._runs: dict[Group, list[SampleTick]] = {group: [] for group in Group}
        self._since_heartbeat = 0

    def copy(self) -> "TickRuns":
        """Return another that can be changed while this one stays as it is."""
        copied = TickRuns(self._ticks_max)
        copied._runs = {group: list(run) for group, run in self._runs.items()}
        copied._since_heartbeat = self._since_heartbeat
        return copied

    def waiting(self, group: Group) -> Sequence[SampleTick]:
        """Return what waits of a group, in order."""
        return self._runs[group]

    def add(self, tick: SampleTick, spool: Spool, end: End) -> None:
        """Let a tick wait, or end the run with it."""
        run = self._runs[tick.group]
        self._since_heartbeat += tick.group is Group.FAST
        if run and not run[-1].joins(tick):
            self._end(tick.group, spool, end)
        run.append(tick)
        if full(run, self._ticks_max[tick.group]):
            self._end(tick.group, spool, end)
        else:
            spool.add_tick(tick)

    def leave_with_heartbeat(self, spool: Spool, end: End) -> None:
        """Note a heartbeat; where it comes as often as a message, let both make the same trip.

        One message is shorter for it, and from then on its like is full when a heartbeat is due.
        """
        if self._since_heartbeat == self._ticks_max[Group.FAST]:
            self._end(Group.FAST, spool, end)
        self._since_heartbeat = 0

    def end_all(self, spool: Spool, end: End) -> None:
        """Let nothing wait any longer."""
        for group in self._runs:
            self._end(group, spool, end)

    def _end(self, group: Group, spool: Spool, end: End) -> None:
        run = self._runs[group]
        if run:
            end(run)
            spool.remove_ticks(group)
            run.clear()
