"""How long rows are waited for: until they are there, or until nothing can bring them any more.

Owns that judgement. It ends a wait early and is no verdict: what is lost is the tally's to say.
"""

import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import psycopg
from kafka.errors import KafkaError

from tests.torture import books, copied_log
from tests.torture.stage import PREFIX, Stage
from tests.torture.tally import Row, hosts_since

PATIENCE_S = 120.0
# So long nothing comes of what is missing, though everything behind it in the log was read.
STILL_S = 20.0
POLL_S = 1.0
Offsets = dict[tuple[str, int], int]


def holds(is_so: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Return whether the condition comes true in time; what only just starts is asked again."""
    end_s = time.monotonic() + patience_s
    while time.monotonic() < end_s:
        try:
            if is_so():
                return True
        except (psycopg.OperationalError, KafkaError):
            pass
        time.sleep(POLL_S)
    return False


def is_read(stage: Stage) -> bool:
    """Whether all that is in the logs is stored, what no tally knows of included."""
    read = books.offsets(stage.url)
    ends = copied_log.ends(stage.broker_address, PREFIX)
    return all(read.get(log, 0) >= end for log, end in ends.items())


@dataclass(slots=True)
class Stillness:
    """Whether missing rows may still come.

    Attributes:
        missing: how many there were when last looked at.
        since_s: since when there have been that many.
        ends: where the logs ended then.
    """

    missing: int = 0
    since_s: float = 0.0
    ends: Offsets = field(default_factory=dict)

    def begin(self, missing: int, now_s: float, ends: Offsets) -> None:
        """Start anew: the number of missing rows has changed."""
        self.missing, self.since_s, self.ends = missing, now_s, ends

    def is_final(self, now_s: float, read: Mapping[tuple[str, int], int]) -> bool:
        """Whether the logs were read past where they ended then, and nothing came of it.

        Args:
            now_s: monotonic.
            read: up to where each log is stored.
        """
        is_behind = any(read.get(log, 0) < end for log, end in self.ends.items())
        return now_s - self.since_s >= STILL_S and not is_behind


def are_stored(stage: Stage, wanted: AbstractSet[Row], *, agents_run: bool) -> bool:
    """Return whether all these rows are stored, as soon as that is certain.

    Args:
        stage: where everything is in order again.
        wanted: rows of the tally.
        agents_run: rows may still be in a spool, so it is not certain before every host has sent
            something newer as well.
    """
    hosts = {agent.name for agent in stage.agents} if agents_run else set()
    still, since_us = Stillness(), 0
    is_complete = False

    def is_certain() -> bool:
        nonlocal is_complete, since_us
        stored = books.stored(stage.url).keys()
        missing = len(wanted - stored)
        is_complete = not missing
        if is_complete:
            return True
        if missing != still.missing:
            since_us = time.time_ns() // 1000
            still.begin(
                missing,
                time.monotonic(),
                copied_log.ends(stage.broker_address, PREFIX),
            )
        is_final = still.is_final(time.monotonic(), books.offsets(stage.url))
        return is_final and hosts <= hosts_since(stored, since_us)

    return holds(is_certain) and is_complete
