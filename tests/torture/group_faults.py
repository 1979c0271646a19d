"""A collector that stands still with a batch in hand until another one has taken over.

Owns the moment, which no schedule by the clock meets: after the last look at the group, before the
transaction's first statement. `holding_collector.py` is the collector that stops itself there.
"""

from collections.abc import Sequence
from pathlib import Path

from tests.torture import books, copied_log
from tests.torture.programs import Program
from tests.torture.schedule import Fault
from tests.torture.tally import hosts_since
from tests.waiting import until


class GroupFaults:
    """What happens to whichever collector comes by first."""

    def __init__(
        self,
        programs: tuple[Sequence[Program], Sequence[Program]],
        hold: Path,
        database_url: str,
        bootstrap: str,
        prefix: str,
    ) -> None:
        agents, self._collectors = programs
        self._hosts = {agent.name for agent in agents}
        self._hold = hold
        self._url = database_url
        self._bootstrap = bootstrap
        self._prefix = prefix

    def arguments(self, _: Fault) -> tuple[()]:
        return ()

    def begin_hold_at_write(self) -> None:
        """Return when a collector stands still with samples that it is about to write.

        Of hosts of which there are samples: before, a mark is new, and the first to make it wins.
        """
        until(lambda: hosts_since(books.stored(self._url), 0) >= self._hosts)
        self._hold.touch()
        until(lambda: any(program.stands_still for program in self._collectors))

    def end_hold_at_write(self) -> None:
        """Let it go on when another one has stored all that the log held, its batch included."""
        ends = copied_log.ends(self._bootstrap, self._prefix)

        def is_overtaken() -> bool:
            read = books.offsets(self._url)
            return all(read.get(log, 0) >= end for log, end in ends.items())

        until(is_overtaken)
        assert any(program.stands_still for program in self._collectors)
        for program in self._collectors:
            program.thaw()
