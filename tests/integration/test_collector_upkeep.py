"""Upkeep beside those who store and read."""

import threading

import psycopg
import pytest

from collector.database import connect
from collector.recompression import giving_way


def test_work_that_others_wait_for_is_broken_off(collector_url: str) -> None:
    with (
        connect(collector_url, "worker", 120) as worker,
        connect(collector_url, "late", 120) as late,
    ):
        late.autocommit = worker.autocommit = False
        worker.execute("lock table host_state in exclusive mode")
        table = "lock table host_state in row exclusive mode"
        writer = threading.Thread(target=late.execute, args=(table,))
        writer.start()
        with pytest.raises(psycopg.errors.QueryCanceled), giving_way(worker, collector_url):
            worker.execute("select pg_sleep(110)")
        worker.rollback()
        writer.join(60)
        assert not writer.is_alive()


def test_work_that_nobody_waits_for_is_done(collector_url: str) -> None:
    with connect(collector_url, "worker", 120) as worker:
        worker.autocommit = False
        worker.execute("lock table host_state in exclusive mode")
        with giving_way(worker, collector_url):
            worker.execute("select pg_sleep(1.5)")
