"""What a process has once it runs: kept without being looked at ever again, and nothing besides.

Owns the moment at which a start is over. The collector of cycles need not visit what was made until
then, and memory that only the start needed goes back to the system.
"""

import ctypes
import gc


def settle() -> None:
    """Note that the start is over; to be called once, from any thread."""
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, others need it not
    if trim is not None:
        trim(0)
