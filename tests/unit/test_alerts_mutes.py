"""Which alert explains which, what a silence covers, and what a notice then looks like."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.alert import Alert, Incident, name_place
from alerts.incidents import Kind, Notice
from alerts.message import ALERTS_SHOWN, build_message, summarise
from alerts.mutes import Inhibitors, Silence, find_silence
from alerts.offences import SUMMARY_CHARS_MAX
from alerts.rules import load_rules
from alerts.state import Life, State

NOW = datetime(2026, 11, 1, tzinfo=UTC)
RULES = load_rules().rules


def make_alert(alert_id: int, rule: str, **changes: Any) -> Alert:
    fields: dict[str, Any] = {
        "key": str(alert_id), "incident_id": 1, "facility_id": 1, "host_id": None, "gpu_id": None,
        "labels": {"facility": "east"}, "severity": "warning", "summary": "wrong", "action": "Do.",
        "measured": {}, "started_at": NOW, "updated_at": NOW,
        "life": Life(State.FIRING, NOW, NOW, firings=(NOW,)),
    }  # fmt: skip
    return Alert(alert_id=alert_id, rule=rule, **fields | changes)


HOT = make_alert(1, "thermal", host_id=5, gpu_id=50)


@pytest.mark.parametrize(
    ("other", "explains"),
    [
        (make_alert(2, "host_silent", host_id=5), True),
        (make_alert(2, "host_silent", host_id=6), False),
        (make_alert(2, "facility_silent"), True),
        (make_alert(2, "facility_silent", facility_id=2), False),
        (make_alert(2, "gpu_lost", host_id=5, gpu_id=50), True),
        (make_alert(2, "gpu_lost", host_id=5, gpu_id=51), False),
        (make_alert(2, "pipeline_silent", facility_id=None), True),
        (make_alert(2, "backlog_growing"), False),
        (make_alert(2, "host_silent", host_id=5, life=Life(State.PENDING, NOW)), False),
        (make_alert(2, "host_silent", host_id=5, life=Life(State.ACKNOWLEDGED, NOW, NOW)), True),
    ],
)
def test_an_alert_is_explained_by_one_over_the_same_place(other: Alert, explains: bool) -> None:
    assert Inhibitors([HOT, other], RULES).find(HOT) == (2 if explains else None)


def test_nothing_explains_itself() -> None:
    alone = make_alert(1, "facility_silent")
    assert Inhibitors([alone], RULES).find(alone) is None


@pytest.mark.parametrize(
    ("silence", "covered"),
    [
        (Silence(1, rule="thermal"), True),
        (Silence(1, rule="gpu_lost"), False),
        (Silence(1, facility_id=1), True),
        (Silence(1, facility_id=2), False),
        (Silence(1, rule="thermal", host_id=5), True),
        (Silence(1, rule="thermal", host_id=6), False),
        (Silence(1, gpu_id=50), True),
    ],
)
def test_a_silence_covers_what_matches_all_of_it(silence: Silence, covered: bool) -> None:
    assert find_silence(HOT, [silence]) == (1 if covered else None)


def notice_about(members: list[Alert]) -> dict[str, Any]:
    incident = Incident(
        incident_id=9, rule="thermal", group_key="facility_id=1", facility_id=1,
        title="accelerators too hot", severity="warning", state=State.FIRING, summary="s",
        opened_at=NOW, updated_at=NOW,
    )  # fmt: skip
    body = build_message(
        incident, Notice(Kind.OPENED, page=True), RULES["thermal"], members, "https://fleet/"
    )
    decoded: dict[str, Any] = json.loads(body)
    return decoded


def test_a_notice_shows_the_gravest_and_counts_the_rest() -> None:
    members = [replace(HOT, alert_id=number) for number in range(10_000)]
    members[777] = replace(members[777], severity="critical")
    members[3] = replace(members[3], inhibited_by=1)
    body = notice_about(members)
    assert body["alerts"][0]["alert_id"] == 777
    assert len(body["alerts"]) == ALERTS_SHOWN
    assert body["alerts_omitted"] == 10_000 - ALERTS_SHOWN
    assert body["counts"]["firing"] == 10_000
    assert body["counts"]["inhibited"] == 1
    assert body["link"] == "https://fleet/alerts?incident=9"


def test_a_notice_stays_small_however_long_its_words() -> None:
    wordy = replace(
        HOT,
        summary="x" * SUMMARY_CHARS_MAX,
        action="y" * 2000,
        measured={f"m{number}": "z" * 200 for number in range(20)},
    )
    body = json.dumps(notice_about([replace(wordy, alert_id=n) for n in range(5000)]))
    assert len(body) < 512 * 1024


def test_one_alert_speaks_for_itself_and_many_are_counted() -> None:
    later = replace(HOT, alert_id=2, summary="later", started_at=NOW + timedelta(seconds=9))
    assert summarise("accelerators too hot", [later], "east") == "later"
    text = summarise("accelerators too hot", [later, HOT], "east")
    assert text == "2 accelerators too hot in east, first wrong"


def test_a_place_is_named_from_the_largest_part_down() -> None:
    labels = {"facility": "east", "rack": "r1", "host": "e1", "gpu_index": 0, "uuid": "u"}
    assert name_place(labels) == "east / r1 / e1 GPU 0"
    assert name_place({}) == "the pipeline"
