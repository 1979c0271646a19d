"""The Health figure: which events are one row, and in which order."""

from types import SimpleNamespace
from typing import Any

from dashboard.charts import health as charts
from dashboard.charts.marks import Mark
from dashboard.view import Window

WINDOW = Window(start_s=0, end_s=3600, step_s=60)


def event(kind: str, code: int | None = None, **values: Any) -> SimpleNamespace:
    usual = {
        "bucket_s": 60.0, "count": 1, "accelerators": 1, "hosts": 1, "newest_s": 70.0,
        "meaning": None, "action": None, "severity": None,
    }  # fmt: skip
    return SimpleNamespace(kind=kind, code=code, **{**usual, **values})


def test_each_xid_is_a_row_and_counts_of_other_events_are_not_codes() -> None:
    found = charts.kinds(
        [
            event("xid", 79, meaning="off the bus", severity="critical"),
            event("xid", 13, meaning="a program's fault"),
            event("ecc_uncorrected", 1),
            event("ecc_uncorrected", 2, count=4, newest_s=99.0),
        ]
    )
    words = [kind.words for kind in found]
    assert words == ["ECC uncorrected", "Xid 79", "Xid 13"]
    assert (found[0].count, found[0].newest_s) == (5, 99.0)


def test_a_code_that_wakes_nobody_comes_last_however_often_it_is() -> None:
    found = charts.kinds(
        [
            event("xid", 13, meaning="a program's fault", count=900),
            event("xid", 79, meaning="off the bus", severity="critical"),
        ]
    )
    assert [kind.severity for kind in found] == ["critical", ""]


def test_an_xid_without_a_policy_is_grave_rather_than_nothing() -> None:
    [kind] = charts.kinds([event("xid", 4711)])
    assert kind.severity == "critical"


def test_what_the_driver_asks_for_is_said_in_words() -> None:
    assert charts.words(event("recovery_action", 2)) == "asks: reboot the host"
    assert charts.words(event("sxid", 20_034)) == "SXid 20034"


def test_marks_stand_at_their_steps_and_their_texts_are_escaped() -> None:
    found = charts.kinds([event("xid", 79, meaning="<b>off", severity="critical", count=8)])
    drawn = charts.figure(WINDOW, found)
    [trace] = drawn["data"]
    assert trace["x"] == [60_000]
    assert trace["marker"]["size"][0] > 7
    assert "<b>off" not in str(drawn)


def test_an_empty_chart_has_an_axis_and_no_marks() -> None:
    drawn = charts.figure(WINDOW, [])
    assert drawn["data"] == []
    assert drawn["layout"]["xaxis"]["range"] == [0, 3_600_000]


def test_incidents_have_a_row_of_their_own_above_the_codes() -> None:
    found = charts.kinds([event("xid", 79)])
    marks = [Mark(90.0, "incident: 3 GPUs lost", "bad", "triangle-down")]
    plain, marked = charts.figure(WINDOW, found), charts.figure(WINDOW, found, marks)
    incident = marked["data"][-1]
    assert incident["y"] == [charts.INCIDENT_ROW]
    assert incident["x"] == [90_000]
    axis = marked["layout"]["yaxis"]
    assert dict(zip(axis["tickvals"], axis["ticktext"], strict=True))[-1] == "incidents"
    assert axis["range"][1] < charts.INCIDENT_ROW
    assert marked["layout"]["height"] > plain["layout"]["height"]
