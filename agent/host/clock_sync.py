"""Whether the kernel's clock is disciplined by somebody, and how wrong it may be.

Owns the one system call that tells, in its reading form. chrony, ntpd, systemd-timesyncd and PTP
daemons all keep the kernel's state, so no daemon has to be known.
"""

import ctypes
import os
from dataclasses import dataclass

STA_UNSYNC = 0x0040
TIME_ERROR = 5
RESERVED_WORDS = 11


class _Timex(ctypes.Structure):
    """`struct timex` of the 64-bit kernels; see adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time_s", ctypes.c_long),
        ("time_us", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * RESERVED_WORDS),
    )


@dataclass(frozen=True, slots=True)
class ClockSync:
    """What the kernel believes of its clock.

    Attributes:
        error_max_us: how far the clock may be off; grows while nobody disciplines it.
        error_estimated_us: how far it probably is off.
    """

    synchronised: bool
    error_max_us: int
    error_estimated_us: int


def interpret(state: int, status: int, error_max_us: int, error_estimated_us: int) -> ClockSync:
    """Return what the answer of adjtimex(2) means. Pure."""
    return ClockSync(
        synchronised=state != TIME_ERROR and not status & STA_UNSYNC,
        error_max_us=max(0, error_max_us),
        error_estimated_us=max(0, error_estimated_us),
    )


def read_clock_sync() -> ClockSync:
    """Ask the kernel.

    Raises:
        OSError: a sandbox forbids to ask.
    """
    answer = _Timex()
    libc = ctypes.CDLL(None, use_errno=True)
    state = int(libc.adjtimex(ctypes.byref(answer)))
    if state < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return interpret(state, answer.status, answer.maxerror, answer.esterror)
