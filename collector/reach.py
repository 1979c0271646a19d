"""How far what is stored reaches, host by host: two columns instead of an object a host."""

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]


class Reach:
    """The newest tick of each host that was met, in microseconds since 1970."""

    def __init__(self) -> None:
        self._hosts: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._newest_us: Times = np.empty(0, dtype=np.int64)

    def unknown(self, hosts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which of these hosts were not met."""
        _, there = self._find(hosts)
        return hosts[~there]

    def of(self, hosts: NDArray[np.int64]) -> Times:
        """Return the newest tick of each of these hosts, 0 for one that was not met."""
        at, there = self._find(hosts)
        newest_us = np.zeros(len(hosts), dtype=np.int64)
        newest_us[there] = self._newest_us[at[there]]
        return newest_us

    def set(self, hosts: NDArray[np.int64], newest_us: Times) -> None:
        """Take over the newest ticks of hosts, each of which stands here once, in order."""
        at, there = self._find(hosts)
        self._newest_us[at[there]] = newest_us[there]
        if not there.all():
            self._hosts = np.insert(self._hosts, at[~there], hosts[~there])
            self._newest_us = np.insert(self._newest_us, at[~there], newest_us[~there])

    def _find(self, hosts: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return where hosts stand, or would, and whether they do."""
        at = np.searchsorted(self._hosts, hosts)
        there = np.zeros(len(hosts), dtype=np.bool_)
        inside = at < len(self._hosts)
        there[inside] = self._hosts[at[inside]] == hosts[inside]
        return at, there
