"""A simulated facility through broker, collector and database: sent equals stored."""

import json
import os
import subprocess
import sys
import time
from typing import Any

import psycopg
import pytest

FLEETGAUGE = [sys.executable, "-m", "fleetgauge"]

pytestmark = pytest.mark.slow


def query(url: str, text: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(text.encode()).fetchall()


@pytest.mark.timeout(200)
def test_packed_hosts_and_real_agents_are_stored_whole_and_side_by_side(
    postgres_url: str, broker: str, topic_prefix: str
) -> None:
    environment = os.environ | {
        "FLEETGAUGE_DATABASE_URL": postgres_url,
        "FLEETGAUGE_KAFKA_BOOTSTRAP": broker,
        "FLEETGAUGE_KAFKA_TOPIC_PREFIX": topic_prefix,
        "FLEETGAUGE_COLLECTOR_GROUP": topic_prefix,
    }
    size = ["--hosts", "12", "--gpus", "4", "--real-hosts", "2", "--seconds", "20"]
    subprocess.run([*FLEETGAUGE, "migrate"], env=environment, check=True, timeout=90)
    collector = subprocess.Popen([*FLEETGAUGE, "collector"], env=environment)
    try:
        subprocess.run(
            [*FLEETGAUGE, "simulate", *size, "--scenario", "bad-day"],
            env=environment,
            check=True,
            timeout=120,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            ended = subprocess.run(
                [*FLEETGAUGE, "status", "--json"],
                env=environment,
                capture_output=True,
                check=True,
                timeout=60,
            )
            stops = query(postgres_url, "select count(*) from events where kind = 'agent_stop'")
            if stops[0][0] == 12:
                break
            time.sleep(1)
    finally:
        collector.terminate()
        assert collector.wait(30) == 0
    assert json.loads(ended.stdout)["quarantine"]["messages"] == 0
    marks = query(postgres_url, "select last_seq, last_sent_seq, stream from host_marks")
    assert len({host for (host,) in query(postgres_url, "select host from hosts")}) == 12
    # An agent's last heartbeat is older than its last samples.
    assert all(stored >= sent for stored, sent, _ in marks), marks
    assert query(postgres_url, "select count(*) from sequence_gaps")[0][0] == 0
    lost = query(
        postgres_url,
        "select h.host from host_state s join hosts h using (host_id) "
        "where 2 = any (reader_status_code)",
    )
    assert lost == [("simulated-00007",)]
    assert query(postgres_url, "select count(*) from queue_samples")[0][0] >= 9
