"""The database against the files, after a replay.

Owns the comparison of what is stored with `expected`. It only reads, with `sql/queries/replay.sql`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from simulator.replay.expected import Tally
from simulator.replay.recording import SOURCE
from sql import queries
from telemetry.clock import Clock
from telemetry.errors import RetryableError
from telemetry.stop import StopSignal

SAMPLE_COLUMNS = ("utilization_gpu_percent", "memory_used_mebibytes")
QUEUE_COLUMNS = (
    "waiting",
    "running",
    "gpus_waiting",
    "gpus_running",
    "gpu_seconds_waiting",
    "oldest_wait_seconds",
    "wait_milliseconds",
    "arrivals_per_second",
)
POLL_S = 1.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Tallies = Mapping[str, Tally]


class Stored:
    """What the database holds of one facility in one range of time.

    Attributes:
        before: what does not count: what an earlier replay left in the same range. Nothing, where
            `repeats`: then this replay's messages are the earlier one's, stored once.
    """

    def __init__(
        self,
        database_url: str,
        tenant: str,
        facility: str,
        range_us: tuple[int, int],
        *,
        repeats: bool,
    ) -> None:
        self._url = database_url
        first, last = (_EPOCH + timedelta(microseconds=time_us) for time_us in range_us)
        self._parameters: dict[str, Any] = {
            "tenant": tenant,
            "facility": facility,
            "source": SOURCE,
            "first": first,
            "last": last,
        }
        there = self._read()
        self.before = dict.fromkeys(there, Tally(0, 0.0)) if repeats else there

    def since(self) -> dict[str, Tally]:
        """Return what counts.

        Raises:
            RetryableError: the database is away.
        """
        now = self._read()
        return {
            name: tally
            if name == "accelerators"
            else Tally(tally.count - self.before[name].count, tally.total - self.before[name].total)
            for name, tally in now.items()
        }

    def _read(self) -> dict[str, Tally]:
        blocks, tallies = queries("replay"), dict[str, Tally]()
        try:
            with psycopg.connect(self._url, connect_timeout=5) as connection:
                for block, table, columns in (
                    ("samples_tally", "samples", SAMPLE_COLUMNS),
                    ("queues_tally", "queue_samples", QUEUE_COLUMNS),
                ):
                    row = connection.execute(blocks[block], self._parameters).fetchone() or ()
                    for at, column in enumerate(columns):
                        tallies[f"{table}.{column}"] = Tally(row[2 * at], row[2 * at + 1])
                boards = connection.execute(blocks["accelerators_tally"], self._parameters)
                count = (boards.fetchone() or (0,))[0]
        except psycopg.Error as error:
            raise RetryableError(f"cannot read the database: {error}") from error
        return {**tallies, "accelerators": Tally(count, count)}


def wait_until_stored(
    stored: Stored, expected: Tallies, timeout_s: float, clock: Clock, stop: StopSignal
) -> dict[str, Tally]:
    """Return what is stored as soon as its counts are as expected, or when the time is over."""
    deadline_s = clock.monotonic_s() + timeout_s
    while True:
        found = stored.since()
        complete = all(found[name].count >= tally.count for name, tally in expected.items())
        if complete or clock.monotonic_s() > deadline_s or stop.wait(POLL_S):
            return found


def differs(expected: Tallies, found: Tallies) -> list[str]:
    """Return the names whose tallies do not agree; what the files lack must not be stored."""
    none = Tally(0, 0.0)
    return [name for name in found if not expected.get(name, none).agrees(found[name])]


def table(expected: Tallies, found: Tallies) -> str:
    """Return a table for a person: each name with both counts and sums."""
    wrong = set(differs(expected, found))
    lines = [f"{'':38}{'in the files':>32}{'in the database':>32}"]
    for name in found:
        if name in expected or name in wrong:
            cells = [_cell(tally) for tally in (expected.get(name), found[name])]
            mark = "differs" if name in wrong else "equal"
            lines.append(f"{name:38}{cells[0]:>32}{cells[1]:>32}  {mark}")
    return "\n".join(lines)


def _cell(tally: Tally | None) -> str:
    return "none" if tally is None else f"{tally.count:,} sum {tally.total:,.2f}"
