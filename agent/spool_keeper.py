"""Where the spool is kept: on disk, or in memory while the disk fails.

Owns the change between the two and the boot epochs that go with it. A failed write may or may not
be on the disk, so what is written after it never uses the same numbers: memory has an epoch of its
own. When the disk is back, what is left in memory moves there, and the epoch goes on.
"""

import logging
from collections.abc import Callable, Sequence
from random import Random

from agent.counters import Counters
from agent.drafts import SampleTick
from agent.spool import Spool
from agent.spool_file import SpoolFile, memory_spool
from agent.spool_rows import SpoolDamagedError
from telemetry.clock import Clock
from telemetry.errors import RetryableError

log = logging.getLogger(__name__)

DISK_RETRY_S = 30.0
EPOCH_LEAP_MAX = 1 << 20
SPOOL_ERRORS = (RetryableError, SpoolDamagedError)

# Gives ticks that were found in a spool a place in messages of a boot epoch, in a transaction.
Settle = Callable[[Spool, int, Sequence[SampleTick]], None]


class SpoolKeeper:
    """Holds the spool that is in use. Guarded by the owner's lock.

    Attributes:
        spool: the one in use; always one that is open.
        boot_epoch: of the messages that are made now.
    """

    spool: Spool
    boot_epoch: int

    def __init__(
        self,
        file: SpoolFile | None,
        clock: Clock,
        counters: Counters,
        memory_bytes_max: int,
        settle: Settle,
    ) -> None:
        """Open the file, or go to memory if the disk fails from the start.

        Raises:
            ConfigError: another agent uses the file, or its path cannot be used.
        """
        self._file = file
        self._clock = clock
        self._counters = counters
        self._memory_bytes_max = memory_bytes_max
        self._settle = settle
        self._random = Random()  # noqa: S311 - a number that is not likely to come again, no secret
        self._retry_at_s: float | None = None
        self.boot_epoch = 0
        if not self._try_disk():
            self._use_memory()

    @property
    def in_memory(self) -> bool:
        """Whether the spool is in memory although there should be a file."""
        return self._retry_at_s is not None

    @property
    def note(self) -> str:
        """What was wrong with the file, or empty."""
        return self._file.note if self._file else ""

    def replace(self, error: Exception) -> None:
        """Go on with a new file if the old one was damaged, else in memory."""
        self._trouble(error)
        self._close_spool()
        if not (isinstance(error, SpoolDamagedError) and self._try_disk(damaged=str(error))):
            self._use_memory()

    def return_to_disk(self, *, now: bool = False) -> None:
        """If the disk is usable again, move there what is in memory; asked every so often."""
        if self._file is None or self._retry_at_s is None:
            return
        if self._clock.monotonic_s() < self._retry_at_s and not now:
            return
        self._retry_at_s = self._clock.monotonic_s() + DISK_RETRY_S
        disk: Spool | None = None
        try:
            disk = self._file.open(self._floor())
            with disk.transaction():
                self._move_to(disk)
        except SPOOL_ERRORS as error:
            log.debug("the disk still fails: %s", error)
            if disk is not None:
                _close(disk)
            return
        self._close_spool()
        self.spool = disk
        self._retry_at_s = None
        log.info("the spool is on disk again")

    def close(self) -> None:
        """Close the spool and let another agent have the file."""
        self.return_to_disk(now=True)
        self._close_spool()
        if self._file is not None:
            self._file.unlock()

    def _try_disk(self, damaged: str = "") -> bool:
        if self._file is None:
            return False
        try:
            spool = self._file.open(self._floor(), damaged)
        except SPOOL_ERRORS as error:
            self._trouble(error)
            return False
        try:
            self.boot_epoch = spool.begin_epoch(self._floor(), self._leap())
            with spool.transaction():
                self._settle(spool, self.boot_epoch, spool.ticks())
        except SPOOL_ERRORS as error:
            _close(spool)
            self._trouble(error)
            return False
        self.spool = spool
        self._retry_at_s = None
        return True

    def _use_memory(self) -> None:
        self.spool = memory_spool(self._memory_bytes_max)
        self.boot_epoch = self.spool.begin_epoch(self._floor(), self._leap())

    def _move_to(self, disk: Spool) -> None:
        leftovers = disk.ticks()
        for slot, made_us, payload in self.spool.messages():
            disk.add(slot, made_us, payload)
        disk.adopt_epoch(self.boot_epoch, self.spool.last_seqs())
        for name, value in self.spool.facts().items():
            if name != "boot_epoch":
                disk.remember(name, value)
        self._settle(disk, self.boot_epoch, leftovers)

    def _floor(self) -> int:
        """Microseconds since 1970: above every earlier epoch even when the spool is gone."""
        return max(1, self._clock.now_us(), self.boot_epoch + self._leap())

    def _leap(self) -> int:
        """By how much an epoch rises when the clock is behind it.

        By chance, because an epoch that was in memory alone, and died there, must not come again.
        """
        return self._random.randrange(1, EPOCH_LEAP_MAX)

    def _trouble(self, error: Exception) -> None:
        self._counters.add("spool_failures")
        log.error("the spool fails: %s", error)
        if self._file is not None:
            self._retry_at_s = self._clock.monotonic_s() + DISK_RETRY_S

    def _close_spool(self) -> None:
        _close(self.spool)


def _close(spool: Spool) -> None:
    try:
        spool.close()
    except SPOOL_ERRORS as error:
        log.debug("closing the spool: %s", error)
