"""The kernel log as a file: opened without blocking, read record by record, opened again.

Owns the edge and its counters. The device hands out one record a read; a FIFO or a plain file,
which tests and the demo put in its place, hands out what it has. It may be missing or forbidden;
that is said once, not once a second.
"""

import errno
import logging
import os
import select
import time
from pathlib import Path

from telemetry.clock import Clock

log = logging.getLogger(__name__)

# The kernel refuses a buffer that is smaller than its record; its records are below 8 KiB.
READ_BYTES = 16_384
RECORDS_PER_READ_MAX = 2000
REOPEN_S = 60.0
# A FIFO that nobody writes to is always ready and always empty.
IDLE_S = 0.25

HINTS = {
    errno.EPERM: "give it CAP_SYSLOG, or set kernel.dmesg_restrict=0",
    errno.EACCES: "add its user to the group that may read it, or give it CAP_SYSLOG",
    errno.ENOENT: "a container needs it mounted; without it NVML is the only witness",
}


class KernelLogDevice:
    """An open kernel log, or the intention to open one. Used by one thread."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.overruns = 0
        self.failures = 0
        self._clock = clock
        self._descriptor: int | None = None
        self._tried_s = float("-inf")
        self._said = 0
        self._rest = b""
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def read(self, timeout_s: float) -> list[bytes]:
        """Return the records that there are, waiting for the first one."""
        if not self._open_if_due():
            self._wait(timeout_s)
            return []
        ready = self._wait(timeout_s)
        records: list[bytes] = []
        while len(records) < RECORDS_PER_READ_MAX:
            chunk = self._read_chunk()
            if chunk is None:
                break
            records.extend(self._split(chunk))
        if ready and not records:
            time.sleep(min(timeout_s, IDLE_S))
        return records

    def wake(self) -> None:
        """Let `read` return at once; from any thread."""
        os.eventfd_write(self._wake, 1)

    def _wait(self, timeout_s: float) -> bool:
        """Wait for records or `wake`; True when there may be records."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._descriptor is not None:
            poll.register(self._descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(round(timeout_s * 1000))}
        if self._wake in ready:
            os.eventfd_read(self._wake)
        return self._descriptor in ready

    def _fileno(self) -> int:
        if self._descriptor is None:
            raise ValueError("the kernel log is not open")
        return self._descriptor

    def _read_chunk(self) -> bytes | None:
        """Return some bytes, which may be none; None when there is nothing more for now."""
        try:
            return os.read(self._fileno(), READ_BYTES) or None
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EPIPE:
                # Records were overwritten before they were read; the next read goes on after them.
                self.overruns += 1
                return b""
            self._give_up(error)
            return None

    def _split(self, chunk: bytes) -> list[bytes]:
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[:READ_BYTES]
        return [line for line in lines if line]

    def _open_if_due(self) -> bool:
        if self._descriptor is not None:
            return True
        now_s = self._clock.monotonic_s()
        if now_s - self._tried_s < REOPEN_S:
            return False
        self._tried_s = now_s
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self._give_up(error)
            return False
        if self._said:
            log.info("reading %s again", self.path)
            self._said = 0
        return True

    def _give_up(self, error: OSError) -> None:
        self.close()
        self.failures += 1
        code = error.errno or -1
        if code != self._said:
            self._said = code
            hint = HINTS.get(code, f"trying again every {REOPEN_S:.0f} s")
            log.warning("cannot read %s (%s): %s", self.path, error.strerror, hint)

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._rest = b""

    def __del__(self) -> None:
        """Give the descriptor back by which others wake the reader, when none is left of them."""
        os.close(self._wake)
