"""The map in a real browser: where its cells lie, the brush that chooses racks, the scrubber."""

import re

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.fix_browser import MakePage
from tests.fix_dashboard_stage import Stage, Visit, go, show, wait_until

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


def told_s(stage: Stage) -> float:
    """Return a minute past of which most racks have told: the stage may have stood still."""
    with psycopg.connect(stage.database.address) as connection:
        row = connection.execute(
            "select extract(epoch from bucket)::float8 from rack_rollup_1m"
            " where bucket < now() - interval '15 minutes'"
            " group by bucket order by count(*) desc, bucket desc limit 1"
        ).fetchone()
    assert row is not None
    return float(row[0])


def test_a_time_past_is_drawn_from_the_rollups(visit: Visit, stage: Stage) -> None:
    page = visit(f"/map?at={told_s(stage):.0f}")
    wait_until(page, PAINTED)
    expect(page.locator("#map-note")).to_contain_text("States are not kept by the minute")
    page.locator("#map-cells canvas").hover(position={"x": 12, "y": 30})
    expect(page.locator("#tip")).to_contain_text(re.compile(r"mean of each rack\s+\d+ %"))


# Maps of a fleet that is not there, in several sizes of the window and dots a pixel: what of the
# width they fill, and what is wrong with where their cells lie.
ARRANGED = """([facilities, racks, width, height, scale]) => {
  const ids = [...Array(racks).keys()];
  const groups = [...Array(facilities).keys()].map((n) => (
    { label: `F${n}`, absent: 0, racks: ids.map((id) => ["r", n * racks + id, 8, 8]) }));
  const [w, h] = [Math.floor(width * scale), Math.floor(height * scale)];
  const room = { width: w, height: h, head: 17, scale };
  const { placed } = fleetgauge.arrange({ groups }, room);
  const taken = new Uint8Array(room.width * 8192);
  const told = { cells: 0, wide: 0, twice: 0, outside: 0, right: 0, filled: 0 };
  for (const { x, y, cols, rows, wide, high, start } of placed) {
    if (start !== told.cells) told.outside += 1;
    told.cells += cols * rows;
    if (wide < high || wide > 2 * high) told.wide += 1;
    if (x < 0 || x + cols * wide > room.width || y + rows * high > 8192) told.outside += 1;
    told.right = Math.max(told.right, x + cols * wide);
    for (let down = y; down < y + rows * high; down += 1) {
      for (let across = x; across < x + cols * wide; across += 1) {
        told.twice += taken[down * room.width + across];
        taken[down * room.width + across] = 1;
      }
    }
  }
  told.filled = told.right / room.width;
  return told;
}"""


def test_220000_accelerators_fill_the_width_and_none_lies_on_another(visit: Visit) -> None:
    page = visit("/audit")
    for room in (
        (1386, 560, 1), (1860, 740, 1), (358, 480, 1), (358, 480, 3), (1386, 560, 1.25)
    ):  # fmt: skip
        told = page.evaluate(ARRANGED, [5, 687, *room])
        assert told["cells"] == 219_840
        assert told["filled"] >= 0.95, room
        assert (told["wide"], told["twice"], told["outside"]) == (0, 0, 0), room
    # More facilities than stand side by side are laid in lines.
    told = page.evaluate(ARRANGED, [60, 4, 358, 480, 1])
    assert told["cells"] == 60 * 4 * 64
    assert (told["twice"], told["outside"]) == (0, 0)


# The last painted place, in pixels of the page: from below, where racks stand in lines, or else
# from the right, where they stand in columns below the names of facilities.
LAST_CELL = """(canvas, fromBelow) => {
  const { width, height } = canvas;
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  let last = [-1, -1];
  for (let y = Math.ceil(18 * devicePixelRatio); y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (!data[4 * (y * width + x) + 3]) continue;
      if (fromBelow || x >= last[0]) last = [x, y];
    }
  }
  return last.map((at) => (at + 0.5) / devicePixelRatio - 1); // well inside
}"""


@pytest.mark.parametrize("dots", [1.0, 1.25, 3.0])
def test_a_cell_is_named_chosen_and_clicked_where_it_is_drawn(
    stage: Stage, make_page: MakePage, dots: float
) -> None:
    page = make_page(390, 844, "dark", dots=dots)
    show(page, stage.address + "/map")
    canvas, tip = page.locator("#map-cells canvas"), page.locator("#tip")
    wait_until(page, PAINTED)
    x, y = canvas.evaluate(LAST_CELL, False)
    canvas.hover(position={"x": x, "y": y})
    expect(tip).to_contain_text("lab-000-00 · GPU 7")
    go(page, "/map?facility=south-central")
    wait_until(page, PAINTED)
    expect(canvas).to_have_attribute("data-painted", "384")
    x, y = canvas.evaluate(LAST_CELL, True)
    canvas.hover(position={"x": x, "y": y})
    expect(tip).to_contain_text("south-central-005-07 · GPU 7")
    draw(page, round(x) - 9, round(y) - 9, round(x) - 1, round(y) - 1)
    expect(page.locator("#map-chosen")).to_contain_text("1 rack")
    canvas.click(position={"x": x, "y": y})
    expect(page).to_have_url(re.compile("host=south-central-005-07&gpu=7"))
