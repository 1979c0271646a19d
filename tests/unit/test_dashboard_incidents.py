"""What of the alerts program's sentences is shown where the place stands beside them."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from alerts.alert import Alert, name_place
from alerts.message import summarise
from alerts.state import Life, State
from dashboard.incidents import from_host, of_place, said
from dashboard.places import Facility

NOW = datetime(2026, 11, 28, tzinfo=UTC)
EAST = Facility(SimpleNamespace(facility="us-east", display_name="Ohio"), "us-east")
PLACE = {
    "facility": "us-east", "hall": "B", "row": "03", "rack": "B03-02", "host": "node-7",
    "gpu_index": 3,
}  # fmt: skip
LOST = Alert(
    alert_id=1, rule="gpu_lost", key="gpu_id=50", incident_id=1, facility_id=1, host_id=5,
    gpu_id=50, labels=PLACE, severity="critical", life=Life(State.FIRING, NOW),
    summary=f"{name_place(PLACE)} no longer answers its driver", action="", measured={},
    started_at=NOW, updated_at=NOW,
)  # fmt: skip


def incident(summary: str, title: str = "accelerators lost") -> Any:
    return SimpleNamespace(title=title, summary=summary)


def test_one_alerts_sentence_begins_with_its_host() -> None:
    shown = said(incident(summarise("accelerators lost", [LOST], "us-east")), EAST)
    assert shown == ("accelerators lost", "node-7 GPU 3 no longer answers its driver")


@pytest.mark.parametrize("facility", ["us-east", None])
def test_many_alerts_are_counted_in_the_title_and_their_place_is_not_said_again(
    facility: str | None,
) -> None:
    many = [replace(LOST, alert_id=n) for n in range(1234)]
    title, text = said(incident(summarise("accelerators lost", many, facility)), EAST)
    assert title == "1\N{NARROW NO-BREAK SPACE}234 accelerators lost"
    assert text == "first: node-7 GPU 3 no longer answers its driver"


@pytest.mark.parametrize(
    "text",
    [
        "us-east is silent: 32 of 32 hosts send nothing",
        "not-us-east / B / node-7 is silent",
        "dublin / B / 03 / node-7 is silent",
        "12 other things in us-east, first of all",
        "",
    ],
)
def test_a_sentence_that_is_not_written_so_is_shown_as_it_is(text: str) -> None:
    assert said(incident(text), EAST) == ("accelerators lost", text)
    assert from_host(text, None) == text


def test_an_incident_of_the_whole_fleet_keeps_its_places() -> None:
    text = "2 pipelines silent, first us-east / B / node-7 is silent"
    shown = said(incident(text, "pipelines silent"), None)
    assert shown == ("2 pipelines silent", "first: us-east / B / node-7 is silent")


@pytest.mark.parametrize(
    ("text", "index", "shown"),
    [
        ("us-east / B / 03 / node-7 GPU 3 is lost", 3, "is lost"),
        ("us-east / B / 03 / node-7 GPU 3: Xid 79: fell off", 3, "Xid 79: fell off"),
        ("us-east / node-7 has been silent for 2m", None, "has been silent for 2m"),
        ("us-east / node-71 is silent", None, "node-71 is silent"),
        ("us-east / node-7 GPU 31 is lost", 3, "node-7 GPU 31 is lost"),
        ("two agents send as node-7", None, "two agents send as node-7"),
    ],
)
def test_beside_its_own_place_an_alert_only_says_what_is_the_matter(
    text: str, index: int | None, shown: str
) -> None:
    assert of_place(SimpleNamespace(summary=text, host="node-7", index=index), EAST) == shown
