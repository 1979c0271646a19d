"""The lease: one evaluator is active, the others stand by.

Owns taking, keeping and giving back the lease. Time is the database's own, so that clocks of two
machines need not agree. Every writing transaction renews the lease first: one that has lost it
meanwhile, say because the process was stopped for a minute, writes nothing.
"""

from dataclasses import dataclass

from alerts.database import Connection
from sql import queries
from telemetry.errors import FleetgaugeError

NAME = "evaluator"


class LeaseLost(FleetgaugeError):  # noqa: N818 - an event rather than an error
    """Another evaluator has taken over."""


@dataclass(slots=True)
class Lease:
    """This process's part in it.

    Attributes:
        holder: unique to this start of this process.
        lease_s: how long it holds without renewal.
        token: the fencing token while we hold it.
    """

    holder: str
    lease_s: float
    token: int | None = None

    def acquire(self, connection: Connection) -> bool:
        """Take the lease if it is free, or confirm it; say whether it is ours."""
        row = connection.execute(
            queries("alerts")["acquire_lease"],
            {"name": NAME, "holder": self.holder, "lease_s": self.lease_s},
        ).fetchone()
        self.token = None if row is None else int(row["token"])
        return self.token is not None

    def hold(self, connection: Connection) -> None:
        """Renew the lease inside a transaction, which is thereby fenced; LeaseLost if it went."""
        if self.token is None or not self._update(connection, "renew_lease"):
            self.token = None
            raise LeaseLost("another evaluator has taken over")

    def release(self, connection: Connection) -> None:
        """Give it back, if it is still ours."""
        if self.token is not None:
            self._update(connection, "release_lease")
            self.token = None

    def _update(self, connection: Connection, query: str) -> bool:
        parameters = {
            "name": NAME, "holder": self.holder, "token": self.token, "lease_s": self.lease_s,
        }  # fmt: skip
        return connection.execute(queries("alerts")[query], parameters).rowcount == 1
