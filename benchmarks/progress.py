"""How far a bench is, on standard error: figures go to standard output alone."""

import sys
import time


class Progress:
    """One line that is written over on a terminal, and one line a change elsewhere."""

    def __init__(self, bench: str) -> None:
        self._bench = bench
        self._said_s = 0.0
        self._terminal = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Say what happens now."""
        sys.stderr.write(
            f"\r\x1b[K{self._bench}: {text}" if self._terminal else f"{self._bench}: {text}\n"
        )
        sys.stderr.flush()

    def wait(self, seconds: float, text: str) -> None:
        """Sleep, saying every few seconds how much is left."""
        end_s = time.monotonic() + seconds
        every_s = 1.0 if self._terminal else 30.0
        while (left_s := end_s - time.monotonic()) > 0:
            if time.monotonic() - self._said_s >= every_s:
                self._said_s = time.monotonic()
                self.say(f"{text}, {left_s:.0f} s left")
            time.sleep(min(left_s, 0.5))

    def end(self) -> None:
        """Leave the line."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
