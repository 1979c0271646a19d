"""Settings of `fleetgauge replay`: under which name, how fast, and with which times."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from telemetry.records import NAME_PATTERN
from telemetry.settings import LogSettings
from telemetry.streams import DatabaseSettings, KafkaSettings


@dataclass(frozen=True, kw_only=True)
class ReplaySettings(LogSettings, KafkaSettings, DatabaseSettings):
    """What a replay may be told. The database is only needed to check."""

    tenant: Annotated[
        str, Meta(min_length=1, max_length=100, pattern=NAME_PATTERN, description="whose it is")
    ] = "default"
    facility: Annotated[
        str,
        Meta(
            max_length=100,
            pattern=f"^$|{NAME_PATTERN}",
            description="name of the facility that it becomes; empty: replay-LAYOUT",
        ),
    ] = ""
    provider: Annotated[str, Meta(max_length=128, description="who owns the facility")] = ""
    speed: Annotated[
        float,
        Meta(ge=0, le=1e9, description="recorded seconds a second; 0: as fast as it is taken"),
    ] = 0.0
    times: Annotated[
        str,
        Meta(
            pattern="^(shifted|original|wall)$",
            description="shifted: it ends now; original: as recorded; wall: as it is sent",
        ),
    ] = "shifted"
    confirm_timeout_s: Annotated[
        float, Meta(ge=1, le=3600, description="how long the broker may take to confirm the rest")
    ] = 60.0
    store_timeout_s: Annotated[
        float, Meta(ge=1, le=86_400, description="how long storing may take, with --check")
    ] = 120.0
