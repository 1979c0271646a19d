"""Two machines under one name: a cloned image, or an agent that was started twice.

Owns the decision, from boot epochs and the times at which messages were made. Pure. A restart also
mixes epochs, because the new agent sends what the old one left in the spool; but what was left was
made before the new epoch began. Two that live make messages side by side.
"""

from typing import NamedTuple

from collector.host_names import HOSTS_MAX, HostName

# Older messages of the other epoch may be a spool that is drained.
MARGIN_US = 30_000_000
# Both are alive now, as far as their clocks agree; a clock that was set back is not two machines.
AGREE_US = 15_000_000


class Epoch(NamedTuple):
    """The newest boot epoch of a host: when its first and its newest message were made."""

    boot_epoch: int
    first_us: int
    last_us: int


class Twins:
    """What was seen of each host, since this collector started."""

    def __init__(self) -> None:
        self._newest: dict[HostName, Epoch] = {}

    def see(self, host: HostName, boot_epoch: int, made_us: int) -> str:
        """Take in a message in the order of the log; return a sentence where it has a twin.

        Args:
            host: the name that it carries.
            boot_epoch: of the agent that made it.
            made_us: when it was made, by that agent's clock.
        """
        newest = self._newest.get(host)
        if newest is None or boot_epoch > newest.boot_epoch:
            if len(self._newest) >= HOSTS_MAX:
                self._newest.clear()
            self._newest[host] = Epoch(boot_epoch, made_us, made_us)
            return ""
        if boot_epoch == newest.boot_epoch:
            if made_us > newest.last_us:
                self._newest[host] = newest._replace(last_us=made_us)
            return ""
        if made_us < newest.first_us + MARGIN_US or abs(made_us - newest.last_us) > AGREE_US:
            return ""
        return (
            f"{'/'.join(host)}: agents of boot epochs {boot_epoch} and {newest.boot_epoch} "
            "send side by side"
        )
