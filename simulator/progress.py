"""A progress bar on a terminal, and nothing where there is none."""

from typing import TextIO

from telemetry.clock import Clock

WIDTH = 40
EVERY_S = 0.2


class Progress:
    """How much of a known number of things is done."""

    def __init__(self, total: int, word: str, stream: TextIO, clock: Clock) -> None:
        self._total, self._word, self._stream, self._clock = total, word, stream, clock
        self._visible = stream.isatty() and total > 0
        self._started_s = clock.monotonic_s()
        self._shown_s = float("-inf")

    def show(self, done: int) -> None:
        """Say how many are done; most calls draw nothing."""
        now_s = self._clock.monotonic_s()
        if not self._visible or (now_s - self._shown_s < EVERY_S and done < self._total):
            return
        self._shown_s = now_s
        filled = WIDTH * done // self._total
        bar = "█" * filled + "░" * (WIDTH - filled)
        left_s = (now_s - self._started_s) * (self._total - done) / max(1, done)
        self._stream.write(f"\r{bar} {done:,}/{self._total:,} {self._word}, {left_s:.0f} s left  ")
        self._stream.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._visible:
            self._stream.write("\n")
