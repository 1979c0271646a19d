"""The benches' own logic: what is compared with what, and what counts."""

import json
import re
import time
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
from dash import dcc, html

from benchmarks.crowd import Notes, as_of
from benchmarks.driver_alone import family_of
from benchmarks.fleet_rows import FleetRows, Shape
from benchmarks.latency import delays_ms
from benchmarks.latency_watch import ages_of
from benchmarks.query import ask_about, rows_scanned
from benchmarks.recorded import Recording
from benchmarks.wall_paint import figures_of
from dashboard.markup import encode
from simulator.nvml.library import function_names
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group


def facility_row(facility: str, since: str) -> html.Div:
    since_then: dict[str, Any] = {"data-since": since}
    age = html.Span("?", className="age", **since_then)
    name = html.Div([dcc.Link(facility, href="/facility")], className="cell-name")
    return html.Div([name, html.Div(age, className="cell-age")], className="fleet-row is-stale")


def test_the_time_in_a_facilitys_row_is_found_and_no_other() -> None:
    parts = [html.Div("head"), facility_row("load", "1.0"), facility_row("probe", "2.5")]
    rows = json.loads(encode({"children": parts}))
    assert list(ages_of(rows, "probe")) == ["2.5"]
    assert list(ages_of(rows, "elsewhere")) == []
    assert list(ages_of(None, "probe")) == []


def test_a_delay_is_from_the_reading_to_its_first_sight() -> None:
    assert delays_ms({"10.0": 10.04, "11.0": 11.0}, {"10.0": 10.54, "11.0": 11.25}) == [250, 500]


def test_a_reading_that_was_overtaken_is_seen_when_the_newer_one_is() -> None:
    assert delays_ms({"10.0": 10.0, "11.0": 11.0}, {"11.0": 11.5}) == [500, 1500]


def test_a_reading_after_the_last_sight_does_not_count() -> None:
    assert delays_ms({"10.0": 10.0, "99.0": 99.0}, {"10.0": 10.5}) == [500]


def test_rows_that_a_plan_threw_away_were_scanned_too() -> None:
    plan = {
        "Node Type": "Aggregate",
        "Actual Rows": 1,
        "Actual Loops": 1,
        "Plans": [
            {
                "Node Type": "Seq Scan",
                "Relation Name": "samples",
                "Actual Rows": 10,
                "Rows Removed by Filter": 90,
                "Actual Loops": 3,
            }
        ],
    }
    assert rows_scanned(plan) == 300


class OneOfEach:
    """A fleet of which every question has the same answer."""

    def one(self, _name: str, _parameters: object) -> int:
        return 1


def test_what_is_asked_are_statements_of_the_pages_with_all_they_need() -> None:
    questions = ask_about(cast("FleetRows", OneOfEach()), 4, datetime.now(UTC))
    for name, question in questions.items():
        needed = set(re.findall(r"%\((\w+)\)s", question.statement))
        assert needed <= set(question.parameters), name


def test_the_time_of_the_data_is_read_off_a_message() -> None:
    assert as_of(b'{"view":"/","now":3.5,"as_of":2.25,"trouble":"","slots":{}}') == b"2.25"
    assert as_of(b'{"as_of":null,"slots":{}}') == b"null"
    assert as_of(b"{}") == b"null"


def test_a_crowd_counts_from_its_beginning_and_compares_with_its_first() -> None:
    notes = Notes(from_s=100.0)
    notes.take("/", b"99.0", 99.5, 10)
    notes.take("/", b"100.0", 100.5, 10)
    notes.take("/", b"100.0", 100.75, 10)
    notes.take("/", b"null", 101.0, 10)
    assert notes.ages_ms == [500.0, 750.0]
    assert notes.behind_ms == [0.0, 250.0]
    assert notes.received_bytes == 20


def test_paints_are_counted_from_the_message_and_to_the_screen() -> None:
    first = [{"heard": 10.0, "done": 25.0, "shown": 40.0}]
    paints = [
        {"heard": 100.0, "done": 107.0, "shown": 130.0},
        {"heard": 0.0, "done": 205.0, "shown": 220.0},  # before any message: of another page
    ]
    found = figures_of(first, paints)
    assert found["first_paint_ms"] == 40.0
    assert found["update_paint_ms_p50"] == 7.0
    assert found["update_message_to_screen_ms_p50"] == 30.0
    assert figures_of([], [])["first_paint_ms"] is None


def test_every_function_of_the_driver_belongs_to_a_family() -> None:
    families = {name: family_of(name) for name in function_names()}
    assert families["nvmlGpmSampleGet"] == "gpm"
    assert families["nvmlDeviceGetFieldValues"] == "fields"
    assert families["nvmlEventSetWait_v2"] == "events"


def test_a_fleet_is_divided_without_a_rest() -> None:
    shape = Shape(220_000)
    assert shape.gpus_made == 219_840
    assert Shape(1).gpus_made > 0


def test_a_recording_holds_what_was_read() -> None:
    recording = Recording(2, 8, 30, int(datetime.now(UTC).timestamp() * 1e6))
    columns = list(recording.columns())
    assert recording.values == sum(len(column.values) for column in columns)
    # Each host sends ten ticks in ten seconds, and what it read after the last message stays.
    assert 2 * 8 * 20 <= recording.rows <= 2 * 8 * 30
    fast = {metric.name: metric for metric in CATALOGUE.group(Group.FAST)}
    for column in columns:
        assert np.all(np.diff(column.times_ms) == 1000)
        assert abs(column.times_ms[-1] / 1000 - time.time()) < 3600
        assert fast[column.metric].holds(int(column.values.min()))
        assert fast[column.metric].holds(int(column.values.max()))
