"""The three topics: made with explicit settings, and checked.

Owns what a topic must look like and the comparison with what the broker has. Nothing ever relies
on topics that a broker makes by itself.
"""

import logging
from dataclasses import dataclass
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError

from collector.kafka_clients import TidyAdmin
from collector.settings import MigrateSettings
from telemetry import kafka_door
from telemetry.errors import RetryableError
from telemetry.streams import MESSAGE_BYTES_MAX, Stream

log = logging.getLogger(__name__)

BOOTSTRAP_TIMEOUT_MS = 5000
CREATE_TIMEOUT_MS = 15_000
# A record batch holds at least one message and its frame; producers may put a few together.
BATCH_BYTES_MAX = 2 * MESSAGE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be.

    Attributes:
        name: prefix and stream.
        partitions: at least as many as the other two have, so that one collector gets a host's
            partition of all three.
        configs: broker settings by Kafka's own names.
    """

    name: str
    partitions: int
    replication_factor: int
    configs: dict[str, str]


def wanted(settings: MigrateSettings) -> list[Topic]:
    """Return the topics of a deployment."""
    configs = {
        "cleanup.policy": "delete",
        "compression.type": "producer",
        "max.message.bytes": str(BATCH_BYTES_MAX),
        "message.timestamp.type": "CreateTime",
        "retention.ms": str(settings.topic_retention_hours * 3_600_000),
    }
    if settings.topic_replication_factor >= 3:
        configs["min.insync.replicas"] = "2"
    return [
        Topic(
            settings.topic(stream),
            settings.topic_partitions,
            settings.topic_replication_factor,
            configs,
        )
        for stream in Stream
    ]


def differences(topic: Topic, partitions: int, configs: dict[str, str]) -> list[str]:
    """Return in which points an existing topic is not as it must be, one sentence each.

    Settings that the broker does not report are left alone.
    """
    found = []
    if partitions < topic.partitions:
        found.append(f"{topic.name} has {partitions} partitions, {topic.partitions} are wanted")
    found += [
        f"{topic.name} has {key}={configs[key]}, {value} is wanted"
        for key, value in topic.configs.items()
        if key in configs and configs[key] != value
    ]
    return found


def ensure_topics(settings: MigrateSettings) -> list[str]:
    """Make the missing topics and return what is not as wanted in those that were there.

    Raises:
        RetryableError: the broker is away or refuses.
    """
    where = f"the broker at {settings.kafka_bootstrap}"
    try:
        admin = TidyAdmin(**settings.client_options(), bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS)
    except (KafkaError, OSError) as error:
        shut = kafka_door.why_shut(settings)
        raise RetryableError(shut or f"{where}: {error}") from error
    try:
        return _ensure(admin, wanted(settings))
    except KafkaError as error:
        raise RetryableError(f"{where}: {error}") from error
    finally:
        admin.close()


def _ensure(admin: TidyAdmin, topics: list[Topic]) -> list[str]:
    names = [topic.name for topic in topics]
    present = _describe(admin, names)
    for topic in topics:
        if topic.name not in present:
            _create(admin, topic)
    admin.wait_for_topics(names, timeout_ms=CREATE_TIMEOUT_MS)
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs = admin.describe_configs(resources, config_filter="all").get("topic", {})
    present = _describe(admin, names)
    found = []
    for topic in topics:
        values = {k: _value(v) for k, v in configs.get(topic.name, {}).items()}
        found += differences(topic, len(present[topic.name]["partitions"]), values)
    return found


def _describe(admin: TidyAdmin, names: list[str]) -> dict[str, dict[str, Any]]:
    described = admin.describe_topics(names)
    return {entry["name"]: entry for entry in described if entry["error_code"] == 0}


def _create(admin: TidyAdmin, topic: Topic) -> None:
    try:
        admin.create_topics(
            {
                topic.name: {
                    "num_partitions": topic.partitions,
                    "replication_factor": topic.replication_factor,
                    "configs": topic.configs,
                }
            },
            timeout_ms=CREATE_TIMEOUT_MS,
        )
    except TopicAlreadyExistsError:
        return  # another migrator was faster
    log.info("made topic %s with %d partitions", topic.name, topic.partitions)


def _value(config: Any) -> str:
    return str(config["value"] if isinstance(config, dict) else config)
