"""The dead-man switch: any one fault stops it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.heartbeat import Health, find_fault

NOW = datetime(2026, 11, 1, tzinfo=UTC)
WELL = Health(
    passed_at=NOW - timedelta(seconds=5),
    ingest_at=NOW - timedelta(seconds=2),
    ingest_expected=True,
    messages_behind=100,
    hosts=64,
    outbox_oldest=NOW - timedelta(seconds=20),
)


def test_all_is_well() -> None:
    assert find_fault(WELL, NOW) is None
    assert find_fault(replace(WELL, outbox_oldest=None), NOW) is None


def test_a_new_deployment_without_collectors_is_well() -> None:
    assert find_fault(replace(WELL, ingest_at=None, ingest_expected=False), NOW) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"passed_at": None}, "not evaluated"),
        ({"passed_at": NOW - timedelta(seconds=46)}, "not evaluated"),
        ({"ingest_at": None}, "no collector"),
        ({"ingest_at": NOW - timedelta(seconds=46)}, "no collector"),
        ({"messages_behind": 60 * 64 + 1}, "behind"),
        ({"outbox_oldest": NOW - timedelta(minutes=6)}, "notices"),
    ],
)
def test_any_one_fault_is_named(changes: dict[str, Any], words: str) -> None:
    fault = find_fault(replace(WELL, **changes), NOW)
    assert fault is not None
    assert words in fault
