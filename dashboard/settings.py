"""The dashboard's settings.

Owns the record; loading and `--help` are in `telemetry/settings.py`.
"""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from dashboard.access.settings import AccessSettings, is_loopback
from telemetry.settings import LogSettings
from telemetry.streams import DatabaseSettings


@dataclass(frozen=True, kw_only=True)
class DashboardSettings(AccessSettings, LogSettings, DatabaseSettings):
    """Where it listens, how often it looks, and its bounds."""

    listen_address: Annotated[
        str,
        Meta(pattern=r"^\S+:\d{1,5}$", description="HOST:PORT of the pages; port 0 picks one"),
    ] = "127.0.0.1:8050"
    allowed_hosts: Annotated[
        str,
        Meta(description="further names under which browsers reach the pages, comma-separated"),
    ] = ""
    tick_interval_s: Annotated[
        float, Meta(ge=0.2, le=60, description="how often the live views are computed at least")
    ] = 1.0
    tick_fastest_s: Annotated[
        float,
        Meta(ge=0.1, le=60, description="and at most, as data comes and while that is cheap"),
    ] = 0.25
    statement_timeout_ms: Annotated[
        int, Meta(ge=100, le=60_000, description="longest time a query may take")
    ] = 5000
    database_connections_max: Annotated[
        int, Meta(ge=1, le=64, description="connections to the database")
    ] = 6
    viewers_max: Annotated[
        int, Meta(ge=1, le=10_000, description="browser pages served live at the same time")
    ] = 500
    connections_max: Annotated[
        int, Meta(ge=16, le=100_000, description="connections of browsers at the same time")
    ] = 2000
    hang_s_max: Annotated[
        float,
        Meta(ge=1, le=600, description="a process that does nothing for so long ends itself"),
    ] = 25.0
    views_max: Annotated[
        int, Meta(ge=1, le=1000, description="different views computed at the same time")
    ] = 100
    body_bytes_max: Annotated[
        int, Meta(ge=1024, le=16 << 20, description="largest request body")
    ] = 64 << 10

    audiences_max: Annotated[
        int,
        Meta(ge=1, le=1000, description="tenants and landlords whose fleets are kept in memory"),
    ] = 32

    def __post_init__(self) -> None:
        """Refuse an address that would show the fleet to anybody.

        Raises:
            ValueError: the address is not loopback and there is no access control, or that is
                not complete.
        """
        if self.port > 65_535:
            raise ValueError(f"listen_address {self.listen_address} has no valid port")
        self.check_access(is_loopback=is_loopback(self.host))

    @property
    def host(self) -> str:
        """Address without the port."""
        return self.listen_address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Port of the address."""
        return int(self.listen_address.rpartition(":")[2])

    @property
    def host_names(self) -> frozenset[str]:
        """Names that a browser may put into its Host header: all others are refused."""
        own = {"localhost", "127.0.0.1", "::1", self.host, urlsplit(self.public_url).hostname or ""}
        return frozenset(own | {name.strip() for name in self.allowed_hosts.split(",")} - {""})
