"""Hosts, racks, accelerators, queues, health and alerts in a real browser."""

import csv
import io
import re
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Page, expect

from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from tests.fix_dashboard_stage import Stage, Visit, show

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


LOST = "/host?facility=memphis-1&host=memphis-1-003-07"
HOT_RACK = "/host?facility=memphis-1&rack=B03-02"


def bars(page: Page, chart: str) -> int:
    """Wait until a chart has bars, and count them."""
    page.locator(f"#{chart} .bars .point").first.wait_for(state="attached")
    return page.locator(f"#{chart} .bars .point").count()


def test_a_host_shows_what_each_accelerator_went_through(
    visit: Visit, console_errors: list[str]
) -> None:
    page = visit(LOST)
    assert bars(page, "host-lanes") > 8
    expect(page.locator("#host-legend")).to_contain_text("lost")
    lanes = page.locator("#host-lanes")
    for index in range(8):
        expect(lanes).to_contain_text(f"GPU {index}")
    expect(lanes).to_contain_text("job 48502 · j.lind · 4 of 8")
    words = page.locator("#host-told")
    words.locator("summary").click()
    expect(words.locator("tr", has_text="lost")).to_contain_text("GPU 3")
    expect(words.locator("tr", has_text="job 48502")).to_contain_text("GPU 0\u20133")
    expect(page.locator("#host-chart")).to_contain_text("Thermal headroom")
    lost = page.locator("#host-gpus tr", has_text="GPU 3")
    expect(lost).to_contain_text("lost")
    expect(lost.locator("td.num").first).to_have_text("—")
    expect(page.locator("#host-events")).to_contain_text("Xid 79")
    expect(page.locator("#host-alerts")).to_contain_text("GPU 3 no longer answers its driver")
    assert console_errors == []


def test_an_accelerator_has_every_metric_of_the_catalogue_and_where_it_has_been(
    visit: Visit, console_errors: list[str]
) -> None:
    page = visit(f"{LOST}&gpu=3")
    rows = page.locator("#gpu-metrics .metric")
    expect(rows).to_have_count(len(CATALOGUE.metrics))
    expect(rows.filter(has_text="Retired pages").first).to_contain_text("not offered by the driver")
    seats = page.locator("#gpu-seats tbody tr")
    expect(seats).to_have_count(2)
    expect(seats.first).to_contain_text("now")
    expect(page.locator("#gpu-facts")).to_contain_text("GPU-")
    expect(page.locator("#gpu-tiles")).to_contain_text("lost")
    expect(page.locator("#gpu-raw tbody tr").first).to_contain_text("—")
    assert bars(page, "gpu-lanes") > 1
    assert console_errors == []


def test_readings_and_events_can_be_taken_away_as_csv(visit: Visit) -> None:
    page = visit(f"{LOST}&gpu=0")
    with page.expect_download() as download:
        page.locator("#gpu-exports a").first.click()
    assert re.match(
        r"memphis-1-003-07-gpu0-samples-\d{8}T\d{6}Z-\d{8}T\d{6}Z\.csv",
        download.value.suggested_filename,
    )
    text = Path(download.value.path()).read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["time", *(metric.name for metric in CATALOGUE.group(Group.FAST))]
    assert len(rows) > 500
    assert [row[0] for row in rows[1:]] == sorted(row[0] for row in rows[1:])
    show(page, page.url.replace("&gpu=0", ""))
    with page.expect_download() as download:
        page.locator("#host-exports a").click()
    assert "xid,79" in Path(download.value.path()).read_text(encoding="utf-8")


def test_a_rack_stands_tray_by_tray(visit: Visit, console_errors: list[str]) -> None:
    page = visit(HOT_RACK)
    expect(page.locator("#rack-trays .tray:not(.tray-head)")).to_have_count(8)
    expect(page.locator("#rack-trays .cell")).to_have_count(64)
    expect(page.locator("#rack-trays .cell.s-lost")).to_have_count(1)
    first = page.locator("#rack-trays .tray:not(.tray-head) .tray-number").first
    expect(first).to_have_text("08")
    page.get_by_role("link", name="Headroom").click()
    cell = page.locator("#rack-trays .cell.on-ramp").first
    expect(cell).to_have_text(re.compile(r"^-?\d+$"))
    expect(page.locator("#rack-trays .cell.s-lost")).to_have_text("—")
    assert cell.evaluate("e => getComputedStyle(e).backgroundImage").startswith("linear-gradient")
    page.locator("#rack-trays .tray-name a").first.click()
    expect(page.locator("#host-title")).to_contain_text("memphis-1-017-07")
    assert console_errors == []


def test_without_a_choice_the_hosts_that_need_somebody_come_worst_first(
    visit: Visit, console_errors: list[str]
) -> None:
    page = visit("/host")
    rows = page.locator("#hosts-list tbody tr")
    expect(rows.first).to_contain_text("lost")
    expect(page.locator("#hosts-list")).to_contain_text("driver asks: reset the GPU")
    expect(page.locator("#hosts-list")).to_contain_text("8 stale")
    rows.first.locator("a").first.click()
    expect(page.locator("#host-tiles")).to_contain_text("1 lost")
    assert console_errors == []


def test_queues_are_told_in_one_measure_at_a_time(visit: Visit, console_errors: list[str]) -> None:
    page = visit("/queues")
    expect(page.locator("#queues-silent")).to_contain_text("do not tell GPUs: chat, embed")
    expect(page.locator("#queues-chart")).to_contain_text("train-large · Memphis 1")
    expect(page.locator("#queues-chart")).to_contain_text("now")
    shared = page.locator("#queues-table tr", has_text="shared")
    expect(shared.locator(".age.stale")).to_be_visible()
    page.locator("#queues-measures").get_by_role("link", name="requests").click()
    expect(page.locator("#queues-silent")).to_contain_text("train-large")
    expect(page.locator("#queues-chart")).to_contain_text("chat · south-central ND")
    assert "signal=requests" in page.url
    page.locator("#queues-switch").get_by_role("link", name="Memphis 1").click()
    expect(page.locator("#queues-table tbody tr")).to_have_count(2)
    assert console_errors == []


def test_health_has_a_row_a_code_and_follows_boards_by_serial(
    visit: Visit, console_errors: list[str]
) -> None:
    page = visit("/health?range=6h")
    chart = page.locator("#health-chart")
    expect(chart).to_contain_text("Xid 79")
    expect(chart).to_contain_text("Xid 13")
    expect(page.locator("#health-key")).to_contain_text("wakes nobody")
    expect(page.locator("#health-now tbody tr").first).to_contain_text("lost")
    expect(page.locator("#health-now")).to_contain_text("row remap waits for a reset")
    offenders = page.locator("#health-offenders tbody tr")
    expect(offenders.first.locator(".mono")).to_have_text(re.compile(r"^\d{13}$"))
    expect(offenders.first).to_contain_text("Xid")
    expect(page.locator("#health-hosts")).to_contain_text("memphis-1-003-07")
    page.locator("#health-switch").get_by_role("link", name="Texas 2").click()
    expect(page.locator("#health-now")).to_contain_text("No accelerator")
    assert console_errors == []


def test_alerts_show_incidents_first_and_who_was_told(
    visit: Visit, console_errors: list[str]
) -> None:
    page = visit("/alerts")
    incidents = page.locator("#alerts-incidents .incident")
    expect(incidents).to_have_count(5)
    assert bars(page, "alerts-lanes") >= 5
    expect(page.locator("#alerts-notices tbody tr").first).to_contain_text("waiting")
    expect(page.locator("#alerts-notices")).to_contain_text("Service Unavailable")
    expect(page.locator("#alerts-silences")).to_contain_text("b. person")
    expect(page.locator("#alerts-rules tbody tr").first).to_contain_text("failed")
    page.get_by_role("link", name="3 accelerators lost").first.click()
    expect(page.locator("#incident-alerts tbody tr")).to_have_count(3)
    expect(page.locator("#incident-steps")).to_contain_text("pending to firing")
    expect(page.locator("#incident-notices")).to_contain_text("sent")
    assert bars(page, "incident-lanes") >= 3
    assert console_errors == []


def test_the_link_of_a_notice_about_one_alert_leads_to_its_incident(
    visit: Visit, stage: Stage
) -> None:
    with psycopg.connect(stage.database.address) as db:
        row = db.execute("select max(alert_id) from alerts where rule = 'gpu_lost'").fetchone()
    assert row is not None
    page = visit(f"/alerts?alert={row[0]}")
    expect(page.locator("#incident-title")).to_contain_text("3 accelerators lost")


def test_what_is_not_there_is_said(visit: Visit, console_errors: list[str]) -> None:
    for path, words in (
        ("/host?host=nowhere", "No such host"),
        ("/host?facility=memphis-1&rack=nowhere", "No such rack"),
        (f"{LOST}&gpu=77", "No such accelerator"),
        ("/alerts?incident=999999", "No such incident"),
    ):
        page = visit(path)
        expect(page.locator("#content")).to_contain_text(words)
    assert console_errors == []


def test_f40_without_a_database_a_host_stays_and_stops_calling_itself_live(
    visit: Visit, stage: Stage
) -> None:
    page = visit(LOST)
    assert bars(page, "host-lanes") > 8
    stage.database.kill()
    try:
        expect(page.locator("#live")).to_have_text("not live")
        expect(page.locator("#banner")).to_contain_text("Data as of")
        # Said once the page has asked in vain: what it draws from here on is what it remembers.
        expect(page.locator("#host-note")).not_to_be_empty()
        assert bars(page, "host-lanes") > 8
        expect(page.locator("#host-gpus")).to_contain_text("GPU 3")
    finally:
        stage.database.start()
    expect(page.locator("#live")).to_contain_text("live ·")
