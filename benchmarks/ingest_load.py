"""The sender of the ingest bench, a process of its own: `python -m benchmarks.ingest_load`.

Sends messages of noisy hosts at a steady rate through a real producer, and says each second on
standard output how far it is, as one JSON line; the last line holds what all rows add up to. It
waits where the collectors fall too far behind (`--backlog-max`), so that a broker that keeps its
log in memory survives a target that the machine does not reach. With `--backlog-messages` it first
fills the log while nobody reads it, once it is told to by a line on standard input.

librdkafka sends: what the sender takes from the processor is not there for those that are measured.
"""

import argparse
import json
import signal
import sys
import time
from typing import Any

import psycopg
from confluent_kafka import Producer

from benchmarks.noisy_hosts import CHECKED, NoisyHosts
from telemetry.stop import StopSignal
from telemetry.streams import KafkaSettings, Stream

REPORT_EVERY_S = 1.0
SLICE_S = 0.02
FLUSH_S_MAX = 120
INTERVAL_US = 1_000_000
# Messages that may wait in the client: a few hundred megabytes.
BUFFERED_MAX = 40_000
# Messages a second: as fast as the client takes them.
UNBOUNDED = 1e9


def main() -> None:
    """Send until told to stop, or for so many seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in (
        ("--hosts", int),
        ("--accelerators", int),
        ("--ticks", int),
        ("--messages-per-second", float),
        ("--seconds", float),
        ("--backlog-max", int),
        ("--backlog-messages", int),
    ):
        parser.add_argument(name, type=kind, required=True)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--compression", default="")
    arguments = parser.parse_args()
    stop = StopSignal()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with psycopg.connect(arguments.database, autocommit=True) as connection:
        Load(arguments, connection, stop).run()


class Load:
    """What is sent, at which pace, and how far it is."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        connection: psycopg.Connection[tuple[Any, ...]],
        stop: StopSignal,
    ) -> None:
        self._arguments = arguments
        self._connection = connection
        self._stop = stop
        self._hosts = NoisyHosts(arguments.hosts, arguments.accelerators, arguments.ticks)
        self._epoch = time.time_ns() // 1_000_000
        self._producer = Producer(
            {
                "bootstrap.servers": arguments.bootstrap,
                # As the agents: repeats are the collector's business.
                "enable.idempotence": False,
                "acks": "all",
                "linger.ms": 20,
                "batch.size": 1 << 18,
                "queue.buffering.max.messages": BUFFERED_MAX,
                "queue.buffering.max.kbytes": 1 << 18,
                "compression.type": arguments.compression or "none",
                "delivery.report.only.error": True,
                "on_delivery": self._note_failure,
            }
        )
        self._messages = 0
        self._bytes = 0
        self._waited_s = 0.0
        self._failed: list[str] = []

    def run(self) -> None:
        """Send every host's first message gently, then all at the given rate."""
        rate = self._arguments.messages_per_second
        self._send(len(self._hosts.senders), rate / 2, phase="first")
        self._settle()
        if self._arguments.backlog_messages:
            self._say("settled")
            sys.stdin.readline()
            self._send(self._arguments.backlog_messages, UNBOUNDED, phase="backlog", wait=False)
            self._producer.flush(FLUSH_S_MAX)
        count = int(rate * self._arguments.seconds)
        self._send(count, rate, phase="steady", wait=not self._arguments.backlog_messages)
        left = self._producer.flush(FLUSH_S_MAX)
        if self._failed or left:
            why = self._failed[0] if self._failed else "no answer"
            raise RuntimeError(f"{len(self._failed) + left} messages were not sent: {why}")
        self._say("done", sums=dict(zip(CHECKED, self._hosts.sums, strict=True)))

    def _send(self, count: int, rate: float, phase: str, *, wait: bool = True) -> None:
        start_s = said_s = time.monotonic()
        sent = 0
        while sent < count and not self._stop.is_set():
            now_s = time.monotonic()
            due = min(count, int((now_s - start_s) * rate) + 1)
            if now_s - said_s >= REPORT_EVERY_S:
                said_s = now_s
                self._say(phase)
                if wait:
                    start_s += self._wait_for_collectors()
            due = min(due, sent + BUFFERED_MAX // 4)
            now_us = time.time_ns() // 1000
            for _ in range(due - sent):
                self._send_one(now_us)
            sent = max(sent, due)
            self._producer.poll(SLICE_S)

    def _send_one(self, now_us: int) -> None:
        key, value = self._hosts.message(now_us, INTERVAL_US, self._epoch)
        while True:
            try:
                self._producer.produce(TOPIC, value, key)
                break
            except BufferError:  # full: let it send some
                self._producer.poll(SLICE_S)
        self._messages += 1
        self._bytes += len(value)

    def _note_failure(self, error: object, _message: object) -> None:
        if error is not None:
            self._failed.append(str(error))

    def _wait_for_collectors(self) -> float:
        """Wait while too much is unstored; return for how long, to shift the schedule by it."""
        start_s = time.monotonic()
        while self._behind() > self._arguments.backlog_max and not self._stop.wait(0.2):
            pass
        waited_s = time.monotonic() - start_s
        self._waited_s += waited_s
        return waited_s

    def _settle(self) -> None:
        while self._behind() > 0 and not self._stop.wait(0.2):
            pass

    def _behind(self) -> int:
        row = self._connection.execute(
            "select coalesce(sum(messages_stored), 0) from collectors"
        ).fetchone()
        return self._messages - int(row[0] if row else 0)

    def _say(self, phase: str, **more: object) -> None:
        entry = {
            "phase": phase,
            "messages": self._messages,
            "rows": self._messages * self._hosts.rows_per_message,
            "bytes": self._bytes,
            "waited_s": self._waited_s,
        }
        sys.stdout.write(json.dumps(entry | more) + "\n")
        sys.stdout.flush()


TOPIC = KafkaSettings().topic(Stream.SAMPLES)

if __name__ == "__main__":
    main()
