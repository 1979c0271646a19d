"""Settings of `fleetgauge simulate`: how large a facility, how busy, and what goes wrong in it."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from telemetry.records import NAME_PATTERN
from telemetry.settings import LogSettings
from telemetry.streams import KafkaSettings

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=NAME_PATTERN)]


@dataclass(frozen=True, kw_only=True)
class SimulateSettings(LogSettings, KafkaSettings):
    """What a simulated facility may be told."""

    tenant: Annotated[Name, Meta(description="who rents the facility")] = "default"
    facility: Annotated[Name, Meta(description="name of the simulated facility")] = "simulated"
    provider: Annotated[str, Meta(max_length=128, description="who owns the facility")] = ""
    hosts: Annotated[int, Meta(ge=1, le=100_000, description="hosts of the facility")] = 32
    gpus: Annotated[int, Meta(ge=1, le=64, description="accelerators in each host")] = 8
    real_hosts: Annotated[
        int,
        Meta(
            ge=0,
            le=256,
            description="how many of the hosts run the real sampler, spool and sink over a "
            "simulated NVML driver; the others speak the packed wire directly",
        ),
    ] = 0
    spool_folder: Annotated[
        str,
        Meta(description="where real hosts keep their spools; empty: a folder that is removed"),
    ] = ""
    hosts_per_rack: Annotated[int, Meta(ge=1, le=1000, description="hosts in each rack")] = 4
    profile: Annotated[
        str,
        Meta(pattern="^[a-z0-9_-]+$", description="model of accelerator: h100, h200, b200, a100"),
    ] = "h100"
    scenario: Annotated[
        str, Meta(min_length=1, description="healthy, hot-rack, bad-day, or a scenario file")
    ] = "healthy"
    seed: Annotated[int, Meta(ge=0, le=2**32, description="the same seed is the same facility")] = 1
    hz: Annotated[float, Meta(ge=0.1, le=10, description="fast readings a second")] = 1.0
    ticks_per_message: Annotated[
        int, Meta(ge=1, le=600, description="fast readings that travel in one message")
    ] = 10
    seconds: Annotated[
        float, Meta(ge=0, le=1e9, description="end after this long; 0: only when told to stop")
    ] = 0.0
    pressure: Annotated[
        float, Meta(ge=0, le=5, description="accelerators asked for, over those there are")
    ] = 0.85
    day_s: Annotated[
        float, Meta(ge=60, le=1e7, description="length of a simulated day of load, in seconds")
    ] = 86_400.0
    job_mean_s: Annotated[
        float, Meta(ge=5, le=1e6, description="mean duration of a simulated job, in seconds")
    ] = 1800.0

    def __post_init__(self) -> None:
        """Check what one field alone cannot say."""
        if self.real_hosts > self.hosts:
            raise ValueError("real_hosts is more than hosts")
