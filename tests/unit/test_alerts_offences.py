"""Rows of rules: what they must hold, and what is done with nonsense."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from alerts.offences import SUMMARY_CHARS_MAX, Verdict, read_offences, render_summary
from alerts.rules import Rule, RuleError

RULE = Rule(
    name="wrong",
    title="wrong things",
    severity="warning",
    key=("facility_id", "queue"),
    group_by=("facility_id",),
    summary="{queue} at {facility} is wrong",
    action="Look.",
    runbook="Think.",
    body="select 1",
)


def row(**changes: Any) -> dict[str, Any]:
    return {"verdict": "bad", "facility_id": 3, "queue": "chat", **changes}


def test_a_row_becomes_an_offence() -> None:
    since = datetime(2026, 11, 1, tzinfo=UTC)
    offences = read_offences(
        RULE, [row(since=since, severity="critical", action="Run.", waiting=Decimal(7))]
    )
    offence = offences["facility_id=3 queue=chat"]
    assert offence.group_key == "facility_id=3"
    assert (offence.severity, offence.action, offence.since) == ("critical", "Run.", since)
    assert offence.measured == {"queue": "chat", "waiting": 7}


def test_a_rule_speaks_for_rows_that_do_not() -> None:
    offence = read_offences(RULE, [row(severity=None, action=None)])["facility_id=3 queue=chat"]
    assert (offence.severity, offence.action) == ("warning", "Look.")


@pytest.mark.parametrize(
    ("bad_row", "words"),
    [
        ({"facility_id": 3, "queue": "chat"}, "no verdict"),
        ({"verdict": "bad", "queue": "chat"}, "no facility_id"),
        (row(verdict="awful"), "awful is none of"),
        (row(verdict=None), "- is none of"),
        (row(severity="awful"), "awful is none of"),
    ],
)
def test_a_row_that_makes_no_sense_fails_the_rule(bad_row: dict[str, Any], words: str) -> None:
    with pytest.raises(RuleError, match=words):
        read_offences(RULE, [bad_row])


def test_two_rows_of_one_key_fail_the_rule() -> None:
    with pytest.raises(RuleError, match="two rows"):
        read_offences(RULE, [row(), row(verdict=Verdict.HOLD)])


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None), (True, True), (3, 3), (2.5, 2.5), (Decimal("2.0"), 2), ("48", "48"),
        (float("nan"), "nan"), (Decimal("Infinity"), "Infinity"), ([1], "[1]"),
        ("x" * 999, "x" * 200),
    ],
)  # fmt: skip
def test_measured_values_are_what_json_can_hold(value: object, kept: object) -> None:
    offence = next(iter(read_offences(RULE, [row(value=value)]).values()))
    assert offence.measured["value"] == kept


def test_a_summary_is_filled_from_the_row_and_the_place() -> None:
    text = render_summary(RULE, {"facility": "east"}, {"queue": "chat"})
    assert text == ("chat at east is wrong", None)


def test_a_summary_that_asks_for_what_is_not_there_falls_back_and_says_so() -> None:
    assert render_summary(RULE, {"place": "east / e1"}, {"queue": "chat"}) == (
        "wrong things: east / e1",
        "summary: no facility",
    )


def test_text_from_outside_is_neither_a_template_nor_endless() -> None:
    text, _ = render_summary(
        RULE, {"facility": "{queue.__class__} {0}"}, {"queue": "{facility}" + "x" * 10_000}
    )
    assert text.startswith("{facility}xxx")
    assert len(text) <= SUMMARY_CHARS_MAX
