"""The map's tools in a real browser: the brush that chooses racks, the scrubber that goes back."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.fix_dashboard_stage import Stage, Visit, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

PAINTED = "!!document.querySelector('#map-cells canvas[data-painted]')"


def draw(page: Page, left: int, top: int, right: int, bottom: int) -> None:
    """Draw a rectangle on the map, in pixels of its own."""
    wait_until(page, PAINTED)
    box = page.locator("#map-cells canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + left, box["y"] + top)
    page.mouse.down()
    page.mouse.move(box["x"] + right, box["y"] + bottom, steps=3)
    page.mouse.up()


def test_what_is_drawn_on_the_map_chooses_racks_and_other_pages_show_them_alone(
    visit: Visit, console_errors: list[str]
) -> None:
    page = visit("/map?facility=memphis-1")
    draw(page, 4, 20, 300, 60)
    expect(page).to_have_url(re.compile("racks=[0-9]"))
    chosen = page.locator("#map-chosen")
    expect(chosen).to_contain_text(re.compile(r"\d racks"))
    count = re.search(r"(\d+) racks", chosen.inner_text())
    assert count is not None
    page.get_by_role("link", name="Hosts of these racks").click()
    expect(page).to_have_url(re.compile("/host.*racks="))
    expect(page.locator("#hosts-chosen")).to_contain_text(f"{count.group(1)} racks chosen")
    expect(page.locator("#hosts-tiles")).to_contain_text(str(8 * int(count.group(1))))
    page.get_by_role("link", name="Health", exact=True).click()
    expect(page.locator("#health-chosen")).to_contain_text("chosen on the map")
    page.get_by_role("link", name="show all").click()
    expect(page).not_to_have_url(re.compile("racks="))
    assert console_errors == []


def test_the_scrubber_goes_back_by_keys_and_the_address_keeps_the_time(
    visit: Visit, console_errors: list[str]
) -> None:
    page = visit("/map?facility=memphis-1&signal=headroom")
    wait_until(page, PAINTED)
    slider = page.get_by_role("slider", name="Time of the map")
    slider.press("Home")
    expect(page).to_have_url(re.compile("at=[0-9]+"))
    expect(page.locator("#map-note")).to_contain_text("least of each rack")
    expect(page.get_by_role("slider", name="Time of the map")).to_be_focused()
    page.get_by_role("link", name="Back to now").click()
    expect(page).not_to_have_url(re.compile("at="))
    assert console_errors == []


def test_a_time_past_is_drawn_from_the_rollups(visit: Visit, stage: Stage) -> None:
    page = visit(f"/map?at={time.time() - 1800:.0f}")
    wait_until(page, PAINTED)
    expect(page.locator("#map-note")).to_contain_text("States are not kept by the minute")
    page.locator("#map-cells canvas").hover(position={"x": 12, "y": 30})
    expect(page.locator("#tip")).to_contain_text(re.compile(r"mean of each rack\s+\d+ %"))
