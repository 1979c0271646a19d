"""What a process has once it runs: kept without being looked at ever again, and nothing besides.

Owns where memory is taken from, and the moment at which a start is over. The collector of cycles
need not visit what was made until then, and memory that only the start needed goes back to the
system.
"""

import ctypes
import gc

# glibc's malloc.h
_M_ARENA_MAX = -8


def share_arena() -> None:
    """Let all threads take memory from one place; to be called before there are any.

    Each would get an arena of its own otherwise, most of it empty. They take turns with the
    interpreter's lock anyhow.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, others need it not
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def settle() -> None:
    """Note that the start is over; to be called once, from any thread."""
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, others need it not
    if trim is not None:
        trim(0)
