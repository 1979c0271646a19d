"""Settings of the collector and of `migrate`.

Owns the two records. Their common parts come from telemetry; loading is telemetry/settings.py.
"""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from telemetry.settings import LogSettings
from telemetry.streams import MESSAGE_BYTES_MAX, DatabaseSettings, KafkaSettings

_DAYS_MAX = 36_500


@dataclass(frozen=True, kw_only=True)
class CollectorSettings(LogSettings, KafkaSettings, DatabaseSettings):
    """What `fleetgauge collector` may be told."""

    collector_group: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9._-]{1,200}$",
            description="Kafka consumer group; collectors of one group share the work",
        ),
    ] = "fleetgauge-collector"
    collector_instance: Annotated[
        str,
        Meta(max_length=200, description="name of this collector; empty: host name and process"),
    ] = ""
    batch_bytes_max: Annotated[
        int,
        Meta(
            ge=MESSAGE_BYTES_MAX,
            le=256 << 20,
            description="bytes of messages that one transaction stores at most",
        ),
    ] = 16 << 20
    commit_interval_ms: Annotated[
        int,
        Meta(ge=0, le=60_000, description="how long messages are gathered before they are stored"),
    ] = 200
    backlog_split_messages: Annotated[
        int,
        Meta(
            ge=1,
            description="where more messages of a partition wait, new ones are stored first and "
            "these beside them",
        ),
    ] = 2000
    decompressed_bytes_max: Annotated[
        int,
        Meta(
            ge=MESSAGE_BYTES_MAX,
            le=256 << 20,
            description="bytes that one compressed batch of the broker may unfold to",
        ),
    ] = 16 << 20
    signatures: Annotated[
        str,
        Meta(
            pattern="^(off|observe|required)$",
            description="messages that no enrolled key stands for are not looked at (off), noted "
            "and stored (observe), or quarantined (required)",
        ),
    ] = "observe"
    session_timeout_ms: Annotated[
        int,
        Meta(
            ge=1000, le=300_000, description="after this silence the group gives our partitions on"
        ),
    ] = 6000
    statement_timeout_s: Annotated[
        int, Meta(ge=1, le=600, description="a database statement that takes longer is given up")
    ] = 60
    samples_age_max_days: Annotated[
        int, Meta(ge=1, le=_DAYS_MAX, description="older samples are quarantined")
    ] = 7
    events_age_max_days: Annotated[
        int,
        Meta(ge=1, le=_DAYS_MAX, description="older events and queue snapshots are quarantined"),
    ] = 400
    future_max_s: Annotated[
        int,
        Meta(ge=0, le=86_400, description="what is dated further ahead than this is quarantined"),
    ] = 300
    raw_retention_days: Annotated[
        int, Meta(ge=1, le=_DAYS_MAX, description="fast samples are dropped after this")
    ] = 7
    slow_retention_days: Annotated[
        int, Meta(ge=1, le=_DAYS_MAX, description="slow samples are dropped after this")
    ] = 90
    rollup_10s_retention_days: Annotated[
        int, Meta(ge=1, le=_DAYS_MAX, description="10 s sums of facilities are dropped after this")
    ] = 30
    rollup_1m_retention_days: Annotated[
        int,
        Meta(
            ge=1,
            le=_DAYS_MAX,
            description="1 min sums of facilities and racks are dropped after this",
        ),
    ] = 60
    gpu_rollup_1m_retention_days: Annotated[
        int,
        Meta(ge=1, le=_DAYS_MAX, description="1 min sums of accelerators are dropped after this"),
    ] = 14
    rollup_1h_retention_days: Annotated[
        int, Meta(ge=1, le=_DAYS_MAX, description="1 h sums of all are dropped after this")
    ] = 800
    partitions_ahead_hours: Annotated[
        int,
        Meta(ge=1, le=168, description="how far ahead partitions are made, without TimescaleDB"),
    ] = 3


@dataclass(frozen=True, kw_only=True)
class MigrateSettings(LogSettings, KafkaSettings, DatabaseSettings):
    """What `fleetgauge migrate` may be told."""

    topic_partitions: Annotated[
        int, Meta(ge=1, le=10_000, description="partitions of each new topic")
    ] = 4
    topic_replication_factor: Annotated[
        int, Meta(ge=1, le=16, description="copies of each partition of a new topic")
    ] = 1
    topic_retention_hours: Annotated[
        int, Meta(ge=1, le=24 * _DAYS_MAX, description="how long new topics keep messages")
    ] = 72
    migrate_topics: Annotated[
        bool, Meta(description="also make and check the topics: true or false")
    ] = True
    migrate_wait_s: Annotated[
        int, Meta(ge=0, le=86_400, description="how long to wait for database and broker")
    ] = 60


@dataclass(frozen=True, kw_only=True)
class StatusSettings(LogSettings, DatabaseSettings):
    """What `fleetgauge status` may be told."""
