"""Reading what agents send, straight from the broker and beside the collector.

Owns a consumer without a group: it sees every message of the topics as it arrives and disturbs
nobody's offsets.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from telemetry.errors import DecodeError
from telemetry.streams import KafkaSettings, Stream
from telemetry.wire import Message, decode

POLL_MS = 100


class LogReader:
    """A thread that hands each decoded message to `take(stream, message, unix seconds)`."""

    def __init__(self, bootstrap: str, take: Callable[[Stream, Message, float], None]) -> None:
        self._settings = KafkaSettings(kafka_bootstrap=bootstrap)
        self._take = take
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log reader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        streams = {self._settings.topic(stream): stream for stream in Stream}
        consumer = KafkaConsumer(
            **self._settings.client_options(),
            client_id="fleetgauge-bench",
            group_id=None,
            enable_auto_commit=False,
            api_version=(3, 9),
        )
        try:
            partitions = [
                TopicPartition(topic, number)
                for topic in streams
                for number in consumer.partitions_for_topic(topic) or ()
            ]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            while not self._ending.is_set():
                for batch in consumer.poll(timeout_ms=POLL_MS).values():
                    for record in batch:
                        self._hand_over(streams[record.topic], record.value)
        except KafkaError:
            if not self._ending.is_set():
                raise
        finally:
            consumer.close()

    def _hand_over(self, stream: Stream, value: bytes) -> None:
        try:
            self._take(stream, decode(value), time.time())
        except DecodeError:
            return
