"""Fleet, Facility, Map and Pipeline in a real browser: live, stale, and without a database."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.fix_browser import MakePage
from tests.fix_dashboard_serve import Serving
from tests.fix_dashboard_stage import PATIENCE_MS, Stage, Visit, show

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

# Reads the canvas back: how many colours it shows, transparent left out.
COLOURS = """canvas => {
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let n = 0; n < data.length; n += 4) {
    if (data[n + 3]) seen.add((data[n] << 16) | (data[n + 1] << 8) | data[n + 2]);
  }
  return seen.size;
}"""


def expect_painted(page: Page, selector: str, colours_min: int) -> None:
    """Wait until a canvas shows at least so many colours."""
    canvas = page.locator(selector).first
    canvas.wait_for(state="visible")
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while (seen := canvas.evaluate(COLOURS)) < colours_min:
        assert time.monotonic() < deadline, f"{selector} shows {seen} colours"
        page.wait_for_timeout(250)


def test_fleet_shows_every_facility_with_its_figures(
    visit: Visit, console_errors: list[str]
) -> None:
    page = visit("/")
    rows = page.locator(".fleet-row")
    expect(rows).to_have_count(6)
    expect(rows.nth(0)).to_contain_text("Memphis 1")
    expect(rows.nth(0)).to_contain_text("faulty")
    expect(rows.nth(0)).to_contain_text("GPU-h")
    expect(page.locator("#fleet-tiles")).to_contain_text("Contracted")
    expect_painted(page, "#fleet-map canvas", 5)
    expect_painted(page, ".fleet-row canvas", 3)
    assert console_errors == []


def test_a_stale_facility_is_drawn_as_such_and_its_numbers_become_a_dash(
    visit: Visit,
) -> None:
    page = visit("/")
    row = page.locator(".fleet-row.is-stale")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Dublin 1")
    expect(row.locator(".cell-load b")).to_have_text("—")
    expect(row.locator(".cell-age .stale")).to_be_visible()
    assert row.locator(".bar .s-stale").count() == 1


def test_a_facility_with_queues_only_shows_them_and_claims_nothing_else(
    visit: Visit,
) -> None:
    page = visit("/")
    row = page.locator(".fleet-row", has_text="genai-trace")
    expect(row).to_contain_text("no accelerators reported")
    expect(row.locator(".cell-backlog")).to_contain_text("GPUs")
    row.locator(".row-link").click()
    expect(page).to_have_url(re.compile(r"/facility\?.*genai-trace"))
    expect(page.locator("#facility-queues")).to_contain_text("qps-service")
    expect(page.locator("text=Least headroom")).to_be_hidden()


def test_numbers_move_and_nothing_is_made_anew(visit: Visit) -> None:
    page = visit("/")
    expect(page.locator(".fleet-row")).to_have_count(6)
    page.locator(".row-link").first.focus()
    page.evaluate("window.kept = [...document.querySelectorAll('.fleet-row, canvas')]")
    before = page.locator("#fleet-tiles").inner_text()
    expect(page.locator("#fleet-tiles")).not_to_have_text(before, use_inner_text=True)
    assert page.evaluate("window.kept.every((element) => element.isConnected)")
    assert page.evaluate("document.activeElement.className") == "row-link"


def test_facility_has_its_panels_racks_hosts_and_events(
    visit: Visit, console_errors: list[str]
) -> None:
    page = visit("/facility?facility=memphis-1")
    chart = page.locator("#facility-chart")
    for word in ("Utilisation", "Thermal headroom", "Power a GPU", "Waiting"):
        expect(chart).to_contain_text(word)
    expect_painted(page, "#facility-racks canvas", 4)
    expect(page.locator("#facility-hot tbody tr")).to_have_count(8)
    expect(page.locator("#facility-events")).to_contain_text("Xid 79")
    assert console_errors == []


def test_racks_can_be_coloured_by_a_signal(visit: Visit) -> None:
    page = visit("/facility?facility=memphis-1", scheme="light")
    page.get_by_role("link", name="Headroom").click()
    expect(page.locator("#facility-legend .ramp")).to_be_visible()
    expect_painted(page, "#facility-racks canvas", 12)
    assert "signal=headroom" in page.url


def test_pipeline_says_who_waits_for_what_and_what_was_refused(
    visit: Visit, console_errors: list[str]
) -> None:
    page = visit("/pipeline")
    expect(page.locator("#pipeline-collectors")).to_contain_text("waits for database: disk is full")
    expect(page.locator("#pipeline-quarantine")).to_contain_text("truncated")
    expect(page.locator("#pipeline-accounts")).to_contain_text("spool full")
    expect(page.locator("#pipeline-notes")).to_contain_text("unsigned")
    expect(page.locator("#pipeline-agents")).to_contain_text("32 silent")
    assert console_errors == []


def test_the_map_names_what_is_under_the_pointer(visit: Visit) -> None:
    page = visit("/map")
    expect_painted(page, "#map-cells canvas", 5)
    page.mouse.move(0, 0)
    page.locator("#map-cells canvas").hover(position={"x": 12, "y": 26})
    expect(page.locator("#tip")).to_contain_text("memphis-1-000-00")
    page.locator("#map-cells canvas").click(position={"x": 12, "y": 26})
    expect(page).to_have_url(re.compile(r"/host\?.*memphis-1-000-00"))


def test_search_jumps_to_a_host(visit: Visit) -> None:
    page = visit("/")
    page.keyboard.press("/")
    page.keyboard.type("memphis-1-017-04")
    expect(page.locator("#found a").first).to_contain_text("memphis-1-017-04")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("host=memphis-1-017-04"))


def test_the_theme_follows_the_system_and_can_be_chosen(load: Visit) -> None:
    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    page = load("/", scheme="light")
    light = ground()
    page.locator("#theme").click()
    page.locator("#theme").click()
    assert ground() != light
    page.reload()
    assert ground() != light
    assert load("/?theme=light").evaluate("document.documentElement.dataset.theme") == "light"


def test_a_range_in_the_past_is_in_the_address(visit: Visit, stage: Stage) -> None:
    end = time.time() - 1800
    page = visit(f"/facility?facility=memphis-1&from={end - 1200:.0f}&to={end:.0f}")
    expect(page.locator(".range-chosen")).to_contain_text(" to ")
    page.locator("#facility-chart .main-svg").first.wait_for()
    seconds = page.evaluate(
        "() => { const plot = document.querySelector('#facility-chart .js-plotly-plot');"
        " const [start, end] = plot.layout.xaxis.range;"
        " return (new Date(end) - new Date(start)) / 1000; }"
    )
    assert abs(seconds - 1200) <= 20


def test_without_a_database_the_page_stays_and_says_how_old_it_is(
    visit: Visit, stage: Stage, console_errors: list[str]
) -> None:
    page = visit("/pipeline")
    expect(page.locator("#pipeline-collectors")).to_contain_text("collector-1")
    fresh = stage.serving.address
    stage.database.kill()
    try:
        expect(page.locator("#banner")).to_contain_text("Data as of")
        expect(page.locator("#live")).to_contain_text("not live")
        expect(page.locator("#pipeline-collectors")).to_contain_text("collector-1")
        page.goto(fresh + "/")
        # While Dash takes the place of what came with the document, there are two of everything.
        expect(page.locator("#first")).to_have_count(0)
        expect(page.locator(".fleet-row")).to_have_count(6)
        expect(page.locator("#banner")).to_contain_text("Data as of")
    finally:
        stage.database.start()
    expect(page.locator("#live")).to_contain_text("live ·")
    expect(page.locator("#banner")).to_have_text("")
    assert console_errors == []


def test_f37_a_restarted_dashboard_is_found_again_without_a_reload(
    make_page: MakePage, stage: Stage
) -> None:
    first = Serving(database_url=stage.database.address)
    first.start()
    page = make_page()
    show(page, first.address)
    expect(page.locator(".fleet-row")).to_have_count(6)
    page.evaluate("window.kept = true")
    first.stop()
    expect(page.locator("#banner")).to_contain_text("Not live")
    second = Serving(port=first.port, database_url=stage.database.address)
    second.start()
    expect(page.locator("#live")).to_contain_text("live ·")
    assert page.evaluate("window.kept")
    second.stop()
