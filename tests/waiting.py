"""Waiting for what happens elsewhere, in another thread, process or program."""

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], patience_s: float = 60.0) -> None:
    """Return once the condition holds; fail when it has not for so long."""
    deadline_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline_s, "it never happened"
        time.sleep(0.05)
