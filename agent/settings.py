"""The agent's settings: who it is, how often it reads, how much it keeps, where it sends.

Owns the record and its bounds. Loading, and the flags and variables that follow from it, are
`telemetry/settings.py`.
"""

import socket
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from agent.beside import BesideSettings
from telemetry.records import NAME_PATTERN, Place
from telemetry.settings import LogSettings
from telemetry.streams import KafkaSettings

_ENDPOINT = r"[^\s,=]+=https?://[^\s,]+"


@dataclass(frozen=True, kw_only=True)
class AgentSettings(LogSettings, KafkaSettings, BesideSettings):
    """What one agent may be told. Every bound has its limit here."""

    tenant: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=128,
            pattern=NAME_PATTERN,
            description="who rents this host; part of its identity",
        ),
    ] = "default"
    facility: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=128,
            pattern=NAME_PATTERN,
            description="the site this host stands in; part of its identity",
        ),
    ] = "local"
    host: Annotated[
        str,
        Meta(
            max_length=128,
            pattern=f"^$|{NAME_PATTERN}",
            description="this host's name; part of its identity [the machine's host name]",
        ),
    ] = ""
    hall: Annotated[str, Meta(max_length=128, description="hall within the facility")] = ""
    row: Annotated[str, Meta(max_length=128, description="row within the hall")] = ""
    rack: Annotated[str, Meta(max_length=128, description="rack within the row")] = ""
    tray: Annotated[str, Meta(max_length=128, description="tray or height unit in the rack")] = ""
    provider: Annotated[str, Meta(max_length=128, description="who owns this host")] = ""

    signing_key_file: Annotated[
        str,
        Meta(
            description="file of this host's key, which `fleetgauge agent enroll` makes; messages "
            "are signed with it; empty: they are unsigned"
        ),
    ] = ""

    reader: Annotated[
        str, Meta(pattern="^nvidia$", description="which accelerators are read: nvidia")
    ] = "nvidia"
    sample_interval_s: Annotated[
        float, Meta(ge=0.1, le=60, description="seconds between two fast readings")
    ] = 1.0
    slow_interval_s: Annotated[
        float,
        Meta(ge=1, le=3600, description="seconds between two slow readings (ECC, links, limits)"),
    ] = 30.0
    read_deadline_s: Annotated[
        float,
        Meta(
            ge=0.05,
            le=30,
            description="an accelerator that takes longer has no reading in that tick",
        ),
    ] = 0.8
    ticks_per_message: Annotated[
        int, Meta(ge=1, le=600, description="fast readings that travel in one message")
    ] = 10
    heartbeat_interval_s: Annotated[
        float, Meta(ge=1, le=600, description="seconds between two reports of the agent on itself")
    ] = 10.0
    inventory_interval_s: Annotated[
        float, Meta(ge=60, le=86_400, description="seconds after which the inventory is sent again")
    ] = 3600.0

    sink: Annotated[
        str,
        Meta(
            pattern="^(kafka|stdout)$",
            description="where readings go: kafka, or stdout as JSON for a person",
        ),
    ] = "kafka"
    kafka_compression: Annotated[
        str,
        Meta(
            pattern="^(none|gzip|zstd)$",
            description="compression of what is sent: none, gzip or zstd",
        ),
    ] = "none"
    kafka_in_flight_bytes_max: Annotated[
        int,
        Meta(
            ge=1 << 21,
            le=1 << 28,
            description="bytes that may wait for the broker's confirmation in memory",
        ),
    ] = 4 << 20
    drain_messages_per_second_max: Annotated[
        float,
        Meta(
            ge=0.1,
            le=10_000,
            description="how fast a host sends its backlog of samples after an outage",
        ),
    ] = 2.0

    spool_path: Annotated[
        str, Meta(min_length=1, description="SQLite file that holds what is not yet confirmed")
    ] = "/var/lib/fleetgauge/spool.sqlite3"
    spool_bytes_max: Annotated[
        int,
        Meta(
            ge=1 << 18,
            le=1 << 36,
            description="size of the spool; when full the oldest samples go first, events last",
        ),
    ] = 64 << 20
    spool_memory_bytes_max: Annotated[
        int,
        Meta(
            ge=1 << 18,
            le=1 << 30,
            description="the same while the disk fails and the spool is in memory",
        ),
    ] = 4 << 20
    spool_sync: Annotated[
        str,
        Meta(
            pattern="^(full|normal)$",
            description="full: a power cut loses at most one reading; normal: spares the disk",
        ),
    ] = "full"

    queue_endpoints: Annotated[
        str,
        Meta(
            pattern=f"^$|^{_ENDPOINT}(,{_ENDPOINT})*$",
            description="queues to read, as MAPPING=URL, comma-separated; a mapping is vllm, "
            "sglang, triton or a TOML file",
        ),
    ] = ""
    queue_interval_s: Annotated[
        float, Meta(ge=1, le=600, description="seconds between two readings of a queue")
    ] = 10.0

    def __post_init__(self) -> None:
        """Refuse what is right alone and wrong together."""
        if self.read_deadline_s > self.sample_interval_s:
            raise ValueError("read_deadline_s must not be longer than sample_interval_s")

    @property
    def place(self) -> Place:
        """Where the host stands, as far as somebody said."""
        return Place(hall=self.hall, row=self.row, rack=self.rack, tray=self.tray)

    def host_name(self) -> str:
        """Return the name of this host: the setting, else the machine's own."""
        return self.host or socket.gethostname()
