"""How often the log speaks of refused messages."""

from typing import Any

import pytest

from collector.intake import Rejected
from collector.refusals import SAY_EVERY_S, Refusals

RECORD: Any = None


def refused(reason: str = "unsigned") -> Rejected:
    return Rejected(RECORD, reason, "nobody's", None)


def test_a_stranger_who_is_refused_every_second_makes_a_line_a_minute_that_counts_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusals = Refusals()
    for second in range(181):
        refusals.note([refused(f"reason {second}")] * 2, float(second))
    assert [record.getMessage() for record in caplog.records] == [
        "quarantined 2 messages, the newest for reason 0: nobody's",
        *(
            f"quarantined 120 messages, the newest for reason {second}: nobody's"
            for second in (60, 120, 180)
        ),
    ]


def test_what_is_left_is_said_by_a_batch_without_any(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    refusals.note([refused()], 0.0)
    refusals.note([refused()] * 3, 1.0)
    refusals.note([], 2.0)
    assert len(caplog.records) == 1
    refusals.note([], SAY_EVERY_S)
    refusals.note([], 2 * SAY_EVERY_S)
    assert "quarantined 3 messages" in caplog.records[-1].getMessage()
    assert len(caplog.records) == 2


def test_after_silence_the_next_is_said_at_once(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    for second in (0.0, 1000.0):
        refusals.note([refused()], second)
    assert len(caplog.records) == 2
