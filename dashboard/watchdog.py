"""A process that no longer turns is ended, so that whatever started it starts a new one.

Owns how that is noticed. The web server's loop says that it turns, once a second; where it does not
for long, a thread of the interpreter's own, which needs neither loop nor lock, writes down where
every other thread stands and ends the process. Where systemd waits for a word it gets the same, and
also ends a process that stands still as a whole. See `docs/reliability.md`.
"""

import contextlib
import faulthandler
import os
import socket
import sys

# Building the application and the first look at a large fleet take seconds on a busy machine.
START_S_MAX = 180.0


class Watchdog:
    """Waits for `beat`; ends the process where it does not come in time."""

    def __init__(self, hang_s_max: float) -> None:
        self._hang_s_max = hang_s_max
        self._told_ready = False

    def start(self) -> None:
        """Begin to wait."""
        self._wait(max(START_S_MAX, self._hang_s_max))

    async def beat(self) -> None:
        """Say that the loop turns."""
        self._wait(self._hang_s_max)
        _tell_systemd("WATCHDOG=1" if self._told_ready else "READY=1\nWATCHDOG=1")
        self._told_ready = True

    def stop(self) -> None:
        """Wait no more."""
        faulthandler.cancel_dump_traceback_later()

    def _wait(self, seconds: float) -> None:
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.stderr)


def _tell_systemd(words: str) -> None:
    """Send a word to whoever started this process, where that asked for it: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # A leading @ stands for the zero byte of an abstract address.
    target = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
        line.setblocking(False)
        with contextlib.suppress(OSError):  # it is told again in a second
            line.sendto(words.encode(), target)
