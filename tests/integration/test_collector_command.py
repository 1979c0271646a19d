"""The collector as a process: it ends when told to, and says what is wrong with its settings."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from kafka import KafkaProducer

from collector.settings import MigrateSettings
from collector.topics import ensure_topics
from telemetry.clock import SystemClock
from tests.fix_collector import FakeHost


def fleetgauge(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fleetgauge", *words],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_sigterm_finishes_the_batch_in_hand(
    broker: str, topic_prefix: str, collector_url: str
) -> None:
    ensure_topics(MigrateSettings(kafka_bootstrap=broker, kafka_topic_prefix=topic_prefix))
    process = fleetgauge(
        "collector",
        "--commit-interval-ms=60000",  # so that the signal finds a batch in hand
        FLEETGAUGE_KAFKA_BOOTSTRAP=broker,
        FLEETGAUGE_KAFKA_TOPIC_PREFIX=topic_prefix,
        FLEETGAUGE_DATABASE_URL=collector_url,
    )
    with psycopg.connect(collector_url, autocommit=True) as connection:

        def one(query: str) -> object:
            row = connection.execute(query).fetchone()
            return row[0] if row else None

        deadline = time.monotonic() + 40
        while one("select count(*) from stream_offsets") == 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        host = FakeHost()
        producer = KafkaProducer(bootstrap_servers=broker, enable_idempotence=False, acks="all")
        value = host.samples([SystemClock().now_us()])
        producer.send(f"{topic_prefix}.samples", key=host.key, value=value).get(timeout=20)
        producer.close(timeout=5)
        time.sleep(1)
        assert one("select count(*) from samples") == 0
        process.send_signal(signal.SIGTERM)
        try:
            _, logged = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 0, logged
        assert one("select count(*) from samples") == 2
        assert one("select next_offset from stream_offsets where next_offset > 0") == 1


def test_a_wrong_setting_stops_the_start_with_where_and_why(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('batch_bytes_max = "many"\nno_such_key = 1\n')
    process = fleetgauge("collector", f"--config={config}", "--commit-interval-ms=-1")
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    for expected in ("batch_bytes_max", "no_such_key", "--commit-interval-ms", str(config)):
        assert expected in said


def test_migrate_twice_applies_nothing_the_second_time(postgres_url: str) -> None:
    outputs = []
    for _ in range(2):
        process = fleetgauge(
            "migrate", "--migrate-topics=false", FLEETGAUGE_DATABASE_URL=postgres_url
        )
        said, logged = process.communicate(timeout=60)
        assert process.returncode == 0, logged
        outputs.append(said)
    assert "0001_places" in outputs[0]
    assert "nothing to do" in outputs[1]


def test_a_changed_ledger_stops_migrate_and_names_the_file(collector_url: str) -> None:
    with psycopg.connect(collector_url) as connection:
        connection.execute("update schema_migrations set checksum = 'x' where number = 3")
    process = fleetgauge("migrate", FLEETGAUGE_DATABASE_URL=collector_url)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "0003 (streams) has changed" in said


def test_status_of_a_database_that_does_not_answer_fails_at_once() -> None:
    process = fleetgauge("status", FLEETGAUGE_DATABASE_URL="postgresql://u:hush@127.0.0.1:1/x")
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "127.0.0.1:1/x" in said
    assert "hush" not in said
