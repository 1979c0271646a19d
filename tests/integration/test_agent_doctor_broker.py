"""The doctor's findings about a real broker."""

from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from agent.doctor_broker import check_broker
from telemetry.streams import KafkaSettings


def test_topics_that_are_there_and_one_that_is_not(broker: str, topic_prefix: str) -> None:
    chosen = KafkaSettings(kafka_bootstrap=broker, kafka_topic_prefix=topic_prefix)
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.create_topics(
        [NewTopic(f"{topic_prefix}.{name}", 3, 1) for name in ("samples", "events")]
    )
    admin.close()
    found = {finding.subject: finding for finding in check_broker(chosen)}
    assert found["broker"].verdict in ("ok", "warn")
    assert "3 partitions" in found[f"topic {topic_prefix}.samples"].sentence
    assert found[f"topic {topic_prefix}.events"].verdict == "ok"
    assert found[f"topic {topic_prefix}.queues"].verdict == "fail"
