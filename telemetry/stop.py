"""The stop signal: SIGTERM and Ctrl-C become a flag that every wait listens to.

Owns signal handling. Programs leave their loops when the flag is up, finish what is in hand
and return; nothing is interrupted in the middle.
"""

import logging
import signal
import threading
from types import FrameType

log = logging.getLogger(__name__)


class StopSignal:
    """A flag that is raised once and ends every `wait` at once."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def install(self) -> None:
        """Let SIGTERM and SIGINT raise the flag; the second one ends the process as usual."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        log.info("stopping on %s", signal.Signals(number).name)
        signal.signal(number, signal.SIG_DFL)
        self.set()

    def set(self) -> None:
        """Raise the flag."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep for up to `seconds`; True as soon as the flag is up."""
        return self._event.wait(max(0.0, seconds))
