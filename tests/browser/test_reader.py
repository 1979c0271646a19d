"""What a reader chooses for himself, in a real browser: zone, time, keys, and what to take away."""

import csv
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dashboard import export
from tests.fix_browser import MakePage
from tests.fix_dashboard_stage import Stage, Visit, show, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

LOST = "/host?facility=memphis-1&host=memphis-1-003-07"
FACILITY = "/facility?facility=memphis-1"
# What a spreadsheet would calculate, or would break a line of a CSV at.
TRICKY = ["=1+1", "+49 30", "-5 °C", "-5", "12.25", "@x", 'a "b", c', "two\nlines", "plain", ""]


def axis(page: Page, chart: str) -> list[float]:
    """The ends of a chart's axis of time, in milliseconds, as they are drawn."""
    page.locator(f"#{chart} .main-svg").first.wait_for()
    ends = page.evaluate(
        f"document.querySelector('#{chart} .js-plotly-plot').layout.xaxis.range"
        ".map((end) => typeof end === 'number' ? end : Date.parse(`${end.replace(' ', 'T')}Z`))"
    )
    return [float(end) for end in ends]


def taken(page: Page, holds: str, kind: str) -> bytes:
    section = page.locator(".section", has=page.locator(holds)).last
    with page.expect_download() as download:
        section.locator(f".take-{kind}").click()
    return Path(download.value.path()).read_bytes()


def test_times_are_utc_until_the_reader_wants_those_of_his_own_zone(
    make_page: MakePage, stage: Stage, console_errors: list[str]
) -> None:
    page = make_page(zone="Asia/Kolkata")
    show(page, stage.address + f"{LOST}&gpu=3")
    expect(page.locator("#zone")).to_have_text("UTC")
    told = page.locator("#gpu-facts time")
    utc = told.inner_text()
    ends = axis(page, "gpu-chart")
    page.keyboard.press("z")
    expect(page.locator("#zone")).to_have_text("UTC+5:30")
    expect(told).not_to_have_text(utc)
    moved = axis(page, "gpu-chart")
    # The axis goes on with time, and is where it was but for the zone.
    assert 0 <= moved[1] - ends[1] - 5.5 * 3600e3 < 120e3
    page.reload()
    expect(page.locator("#zone")).to_have_text("UTC+5:30")
    show(page, stage.address + f"{LOST}&gpu=3&zone=utc")
    expect(told).to_have_text(utc)
    assert console_errors == []


def test_a_page_stands_still_when_paused_and_goes_on_when_live_again(visit: Visit) -> None:
    page = visit(FACILITY)
    page.get_by_role("button", name="Pause").click()
    expect(page).to_have_url(re.compile(r"from=\d+&to=\d+"))
    expect(page.locator(".range-chosen")).to_contain_text(" to ")
    before = axis(page, "facility-chart")
    page.get_by_role("button", name="Earlier").click()
    expect(page.locator(".range-chosen")).to_be_visible()
    end = (
        "+new Date(document.querySelector('#facility-chart .js-plotly-plot').layout.xaxis.range[1])"
    )
    wait_until(page, f"Math.abs({end} - {before[1] - 1800e3}) < 30e3")
    page.get_by_role("button", name="Live").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert "from=" not in page.url


def test_everything_can_be_reached_by_keys_and_the_list_of_keys_says_so(
    load: Visit, console_errors: list[str]
) -> None:
    page = load("/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("5")  # keys of the page sleep while the list is open
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("3")
    expect(page).to_have_url(re.compile("/facility"))
    page.keyboard.press("p")
    expect(page).to_have_url(re.compile(r"from=\d+"))
    dark = page.evaluate("document.documentElement.dataset.theme")
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") != dark
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("p?3 memphis-1-017-04")  # no key of the page while somebody writes
    expect(page.locator("#search")).to_have_value("p?3 memphis-1-017-04")
    assert console_errors == []


def test_the_focus_can_be_seen_wherever_it_is(visit: Visit) -> None:
    page = visit("/")
    for _ in range(14):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            "() => { const style = getComputedStyle(document.activeElement);"
            " return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2; }"
        )
        assert seen, page.evaluate("document.activeElement.outerHTML.slice(0, 200)")


def test_charts_and_maps_are_taken_as_pictures_and_tables_and_series_as_csv(
    visit: Visit, console_errors: list[str]
) -> None:
    page = visit(FACILITY)
    axis(page, "facility-chart")
    assert taken(page, "#facility-chart", "png").startswith(b"\x89PNG")
    assert taken(page, "#facility-racks", "png").startswith(b"\x89PNG")
    series = list(csv.reader(io.StringIO(taken(page, "#facility-chart", "csv").decode())))
    assert series[0][0] == "time"
    assert "Utilisation: GPU" in series[0]
    assert "Waiting: train-large" in series[0]
    assert len(series) > 300
    hot = list(csv.reader(io.StringIO(taken(page, "#facility-hot", "csv").decode())))
    assert hot[0] == ["Host", "Rack", "Hottest", "Headroom", "Temperature", "Load"]
    assert len(hot) == 9
    assert console_errors == []


def test_numbers_are_taken_as_machines_write_them(visit: Visit) -> None:
    page = visit("/pipeline")
    assert (
        page.evaluate(
            "() => { const cell = document.createElement('td');"
            " cell.textContent = '\u22121\u202f234\u202f°C'; return fleetgauge.plain(cell); }"
        )
        == "-1234 °C"
    )


def test_what_a_state_timeline_shows_is_taken_as_stretches(visit: Visit) -> None:
    page = visit(LOST)
    page.locator("#host-lanes .bars .point").first.wait_for(state="attached")
    rows = list(csv.reader(io.StringIO(taken(page, "#host-lanes", "csv").decode())))
    assert rows[0] == ["subject", "state", "from", "to", "told"]
    assert any(row[:2] == ["GPU 3", "lost"] for row in rows)
    assert all(row[2].endswith("Z") and row[2] <= row[3] for row in rows[1:])


def test_t16_both_sides_write_a_cell_so_that_no_spreadsheet_calculates_it(visit: Visit) -> None:
    page = visit("/pipeline")
    mine = page.evaluate("(texts) => texts.map(window.fleetgauge.cell)", TRICKY)
    theirs = [export.cell(float(text) if text in ("-5", "12.25") else text) for text in TRICKY]
    assert mine == [text.replace("-5.0", "-5") for text in theirs]


SMALLEST_PX = """() => Math.min(...[...document.querySelectorAll('.wall *')]
    .filter((element) => !element.closest('.wall-controls, .unseen') && element.innerText
        && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((element) => parseFloat(getComputedStyle(element).fontSize)))"""


SHORTENED = """() => [...document.querySelectorAll('.wall-row *')]
    .filter((element) => element.scrollWidth > element.clientWidth + 1
        && getComputedStyle(element).textOverflow === 'ellipsis')
    .map((element) => element.textContent)"""


def test_the_wall_has_no_chrome_is_legible_from_afar_and_fits_the_screen(
    visit: Visit, console_errors: list[str]
) -> None:
    page = visit("/wall", 1920, 1080)
    expect(page.locator(".wall-row")).to_have_count(6)
    expect(page.locator("#nav")).to_be_hidden()
    expect(page.locator("#live")).to_be_visible()
    assert page.evaluate(SMALLEST_PX) >= 24
    assert page.evaluate(SHORTENED) == []
    assert page.evaluate("document.documentElement.scrollHeight") <= 1080
    assert page.evaluate("document.documentElement.scrollWidth") == 1920
    page.keyboard.press("Escape")
    expect(page.locator("#nav")).to_be_visible()
    assert console_errors == []


def test_on_a_phone_the_navigation_shows_which_page_this_is(visit: Visit) -> None:
    page = visit("/audit", 390, 844)
    for name in ("Audit", "Fleet", "Alerts"):
        link = page.locator("#nav a", has_text=name)
        page.evaluate("(path) => fleetgauge.go(path)", link.get_attribute("href"))
        expect(link).to_have_attribute("aria-current", "page")
        expect(link).to_be_in_viewport(ratio=1)


def test_on_a_phone_the_header_is_low_and_the_search_opens_in_it(visit: Visit) -> None:
    page = visit("/", 390, 844)
    header = page.locator("header.top")
    box = header.bounding_box()
    assert box is not None
    assert box["height"] <= 88
    for part in ("#live", "#search", "#nav", "#zone", "#theme", "#to-wall", ".brand"):
        expect(page.locator(part)).to_be_in_viewport()
    page.locator("#search").click()
    expect(page.locator("#search")).to_be_focused()
    wide = page.locator("#search").bounding_box()
    assert wide is not None
    assert wide["width"] > 340
    page.keyboard.type("memphis-1-017-04")
    expect(page.locator("#found a").first).to_contain_text("memphis-1-017-04")
    assert header.bounding_box() == box
    page.locator("#found a").first.click()
    expect(page).to_have_url(re.compile("host=memphis-1-017-04"))


def test_the_wall_turns_its_views_and_the_address_says_so(visit: Visit) -> None:
    page = visit("/wall?cycle=5", 1920, 1080)
    for word in ("map", "incidents", "fleet"):
        expect(page).to_have_url(re.compile(f"show={word}.*cycle=5"))
