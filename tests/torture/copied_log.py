"""The log from outside: where it ends, and every message appended to its partition again.

The latter is what a mirror, a restored broker or a producer that forgot does. Owns its clients.
"""

import contextlib
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from telemetry.streams import Stream

TIMEOUT_S = 20.0
MESSAGE_BYTES_MAX = 1 << 22


def ends(bootstrap: str, prefix: str) -> dict[tuple[str, int], int]:
    """Return where the logs of the three topics end, by topic and partition."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    with contextlib.closing(consumer):
        found = consumer.end_offsets(_partitions(consumer, prefix))
        return {(part.topic, part.partition): end for part, end in found.items()}


def append_again(bootstrap: str, prefix: str) -> int:
    """Append what the three topics hold to themselves, and return how many messages that was."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        enable_idempotence=False,
        acks="all",
        max_request_size=MESSAGE_BYTES_MAX,
    )
    with contextlib.closing(consumer), contextlib.closing(producer):
        parts = _partitions(consumer, prefix)
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        ends = consumer.end_offsets(parts)
        found = []
        deadline_s = time.monotonic() + TIMEOUT_S
        while any(consumer.position(part) < end for part, end in ends.items()):
            assert time.monotonic() < deadline_s, "the log is not read to its end"
            for records in consumer.poll(timeout_ms=500).values():
                found += records
        futures = [
            producer.send(r.topic, key=r.key, value=r.value, partition=r.partition) for r in found
        ]
        for future in futures:
            future.get(timeout=TIMEOUT_S)
    return len(found)


def _partitions(consumer: KafkaConsumer, prefix: str) -> list[TopicPartition]:
    return [
        TopicPartition(topic, number)
        for topic in (f"{prefix}.{stream}" for stream in Stream)
        for number in sorted(consumer.partitions_for_topic(topic) or ())
    ]
