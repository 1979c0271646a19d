"""The stations of the Pipeline page: what each says, and when it warns."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dashboard.pages import flow

NOW_S = 1e9
DATABASE = SimpleNamespace(
    bytes=1 << 30, connections=3, connections_max=100, timescale=None, version="17.2"
)


def stations(**rows: Any) -> dict[str, Any]:
    told = {"agents": [], "streams": [], "collectors": [], "database": [DATABASE]} | rows
    sources: Any = SimpleNamespace(
        now_s=NOW_S, picture=SimpleNamespace(time_s=np.array([])), counters={"viewers": 1}
    )
    found: list[Any] = flow.stations(told, sources)
    return {station.children[0].children: station for station in found}


def agents(known: int, heard: int) -> SimpleNamespace:
    return SimpleNamespace(known=known, heard=heard, spool_messages=0, spool_oldest_s=None)


@pytest.mark.parametrize(
    ("rows", "warns", "words"),
    [
        ([], False, "no agent has reported yet"),
        ([agents(0, 0)], False, "no agent has reported yet"),
        ([agents(3, 3)], False, "all heard within a minute"),
        ([agents(3, 2)], True, "1 silent"),
        ([agents(3, 0)], True, "3 silent"),
    ],
)
def test_agents_warn_when_one_is_silent_and_not_when_there_is_none(
    rows: list[Any], warns: bool, words: str
) -> None:
    station = stations(agents=rows)["Agents"]
    assert ("warn" in station.className) is warns
    assert words in str(station.children)


def test_older_messages_that_wait_are_told_with_how_long_they_will() -> None:
    stream = SimpleNamespace(topic="t", behind=4, left_behind=12_000)
    alive = SimpleNamespace(
        reported_s=NOW_S, waiting_for="", rows_per_second=5, commit_seconds=0.1,
        backlog_per_second=50.0,
    )  # fmt: skip
    station = stations(streams=[stream], collectors=[alive])["Broker"]
    assert "warn" in station.className
    assert "older wait, 4\\u202fm left" in str(station.children)


def test_a_backlog_that_nobody_reads_has_no_end() -> None:
    assert flow.catching_up(12_000, 0.0) == "12.0\u202fk older wait"
    assert flow.catching_up(1, 0.0) == "1 older waits"
