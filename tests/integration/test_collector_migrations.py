"""Migrations while a collector stores: neither stops the other, and nothing is lost."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

import sql
from collector import migrate
from collector.database import connect
from telemetry.streams import Stream
from tests.fix_collector import NOW_US, FakeHost, FixedClock, S, Shelf

PATIENCE_S = 120

EXPAND = """-- A column that new programs fill. Locks hosts for a moment.

alter table hosts add column cooling text;
"""
INDEX = """-- no-transaction
-- An index made beside writers. Locks nothing that they need; what was broken off is made anew.

drop index concurrently if exists host_marks_updated;

create index concurrently host_marks_updated on host_marks (updated_at);
"""
CONTRACT = """-- A column that no program reads any more. Locks hosts for a moment.

alter table hosts drop column cooling;
"""


class Storing:
    """A collector that stores one message after the other until it is told to stop."""

    def __init__(self, url: str) -> None:
        self.stored = 0
        self.failed: list[BaseException] = []
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            shelf = Shelf(self._url, FixedClock())
            host = FakeHost()
            while not self._stop.is_set():
                shelf.store(Stream.SAMPLES, host.samples([NOW_US + self.stored * S]))
                self.stored += 1
            shelf.connection.close()
        except BaseException as error:  # noqa: BLE001 - told by the test that waits for it
            self.failed.append(error)

    def more(self, messages: int = 3) -> None:
        """Wait until so many more messages are stored."""
        wanted, deadline_s = self.stored + messages, time.monotonic() + PATIENCE_S
        while self.stored < wanted:
            assert not self.failed
            assert time.monotonic() < deadline_s, "nothing is stored any more"
            time.sleep(0.01)

    @contextmanager
    def going(self) -> Iterator[None]:
        self._thread.start()
        try:
            self.more()
            yield
            self.more()
        finally:
            self._stop.set()
            self._thread.join(PATIENCE_S)
        assert not self.failed


def add(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    """Have the package hold further migrations."""
    real = sql.migrations

    def more(tier: str) -> list[sql.Migration]:
        found = real(tier)
        first = len(found) + 1
        return found + [sql.Migration(first + n, f"more_{n}", text) for n, text in enumerate(texts)]

    monkeypatch.setattr(sql, "migrations", more)


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def test_a_collector_goes_on_storing_through_expand_index_and_contract(
    collector_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storing = Storing(collector_url)
    with storing.going():
        for texts in ((EXPAND,), (EXPAND, INDEX), (EXPAND, INDEX, CONTRACT)):
            with monkeypatch.context() as patch, connect(collector_url, "test", 60) as connection:
                add(patch, *texts)
                assert len(migrate.migrate(connection)) == 1
                assert migrate.pending(connection) == []
            storing.more()
    expected = [(2 * storing.stored, storing.stored)]
    assert rows(
        collector_url, "select (select count(*) from samples), (select sum(stored_messages)::int "
        "from host_marks)"
    ) == expected  # fmt: skip
    assert rows(
        collector_url,
        "select indisvalid from pg_index where indexrelid = 'host_marks_updated'::regclass",
    ) == [(True,)]


def test_a_migration_gives_way_to_who_holds_its_lock_and_comes_again(
    collector_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(monkeypatch, EXPAND)
    tried = threading.Semaphore(0)
    monkeypatch.setattr(migrate.log, "info", lambda *_: tried.release())
    storing = Storing(collector_url)
    with (
        storing.going(),
        psycopg.connect(collector_url) as reader,
        connect(collector_url, "test", 60) as connection,
    ):
        reader.execute("select count(*) from hosts")  # and keeps its transaction open
        migrating = threading.Thread(target=migrate.migrate, args=(connection,))
        migrating.start()
        assert tried.acquire(timeout=PATIENCE_S), "it waits for ever"
        storing.more()  # nobody stands behind it any more
        reader.rollback()
        migrating.join(PATIENCE_S)
        assert not migrating.is_alive()
        assert migrate.pending(connection) == []
