"""Real services for the demo, the benches and the tests: databases and brokers on loopback.

Each file owns one service; `process.py` owns every process of theirs. What is stored in them
belongs to the programs. None of this runs in production: there the addresses come from settings.
"""

from types import TracebackType
from typing import Protocol, Self


class Service(Protocol):
    """A database or broker that can be started, stopped, killed and started again.

    The address stays the same over restarts of one object. Leaving the context stops it.
    """

    @property
    def address(self) -> str:
        """A libpq URL for a database, `host:port` for a broker."""

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""

    def start(self) -> None:
        """Start it and return when it answers; ServiceError says why when it does not."""

    def stop(self) -> None:
        """Ask it to end, and leave no process behind."""

    def kill(self) -> None:
        """Kill -9, children included."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
