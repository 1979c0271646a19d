"""Real programs from key to row: an enrolled agent's readings are stored, a stranger's are not."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

FLEETGAUGE = [sys.executable, "-m", "fleetgauge"]
PATIENCE_S = 90.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Site:
    """One facility's programs over one database and one broker."""

    def __init__(self, database_url: str, broker: str, prefix: str, folder: Path) -> None:
        self.url = database_url
        self._folder = folder
        self._environment = os.environ | {
            "FLEETGAUGE_DATABASE_URL": database_url,
            "FLEETGAUGE_KAFKA_BOOTSTRAP": broker,
            "FLEETGAUGE_KAFKA_TOPIC_PREFIX": prefix,
            "FLEETGAUGE_COLLECTOR_GROUP": prefix,
            "FLEETGAUGE_KERNEL_LOG_PATH": "",
            "FLEETGAUGE_KERNEL_LOG_POSITION_PATH": "",
            "FLEETGAUGE_TICKS_PER_MESSAGE": "1",
        }

    def call(self, *words: str, given: str = "") -> str:
        return subprocess.run(
            [*FLEETGAUGE, *words],
            env=self._environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        ).stdout

    def host(self, name: str, *, signs: bool) -> list[str]:
        """The words that make an agent this host."""
        words = ["--facility", "east", "--tenant", "lab", "--host", name]
        words += ["--spool-path", str(self._folder / f"{name}.spool")]
        return words + (["--signing-key-file", str(self._folder / name)] if signs else [])

    @contextmanager
    def running(self, *words: str) -> Iterator[None]:
        process = subprocess.Popen([*FLEETGAUGE, *words], env=self._environment)
        try:
            yield
            assert process.poll() is None, f"{words[0]} has ended by itself"
        finally:
            process.terminate()
            assert process.wait(30) == 0

    def one(self, query: str) -> Any:
        with psycopg.connect(self.url) as connection:
            row = connection.execute(query).fetchone()
        return row[0] if row else None

    def wait_for(self, query: str) -> None:
        """Wait until a query says true."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not self.one(query) and time.monotonic() < deadline_s:
            time.sleep(0.2)
        assert self.one(query), query


@pytest.fixture
def site(postgres_url: str, broker: str, topic_prefix: str, tmp_path: Path) -> Site:
    made = Site(postgres_url, broker, topic_prefix, tmp_path)
    made.call("migrate")
    return made


def stored_of(host: str) -> str:
    return (
        "select coalesce(sum(stored_messages), 0) from host_marks join hosts using (host_id) "
        f"where host = '{host}'"
    )


def test_only_what_an_approved_key_has_signed_is_stored_where_signatures_are_required(
    site: Site,
) -> None:
    known, stranger = site.host("known", signs=True), site.host("stranger", signs=False)
    request = site.call("agent", "enroll", *known)
    site.call("keys", "request", "-", given=request)
    with ExitStack() as programs:
        programs.enter_context(site.running("collector", "--signatures", "required"))
        programs.enter_context(site.running("agent", "--simulate", "h100x2", *known))
        programs.enter_context(site.running("agent", "--simulate", "h100x2", *stranger))
        # Nobody has approved the key yet.
        site.wait_for("select count(*) > 0 from quarantine where reason = 'key_not_approved'")
        site.wait_for("select count(*) > 0 from quarantine where reason = 'unsigned'")
        assert site.one("select count(*) from samples") == 0
        approved = site.call("keys", "approve", "--tenant", "lab", "--facility", "east")
        assert "approved" in approved
        site.wait_for(f"select ({stored_of('known')}) > 3")
        assert site.one(stored_of("stranger")) == 0
        # Names that nobody has enrolled are one finding, so that a flood of them is one too.
        site.wait_for(
            "select bool_or(refused) from identity_findings where host = '' and reason = 'unsigned'"
        )
        # Its key is taken away again: within a minute nothing more of it is stored.
        fingerprint = json.loads(site.call("keys", "list", "--json").splitlines()[0])["fingerprint"]
        site.call("keys", "revoke", fingerprint)
        site.wait_for("select count(*) > 0 from quarantine where reason = 'revoked_key'")
        before = site.one(stored_of("known"))
        seen = site.one("select count(*) from quarantine where reason = 'revoked_key'")
        site.wait_for(f"select count(*) > {seen + 2} from quarantine where reason = 'revoked_key'")
        assert site.one(stored_of("known")) == before
