"""The document of a page: its parts are there before any script, and scripts of ours come first."""

import gzip
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from dash import dcc, html

from dashboard import elements, program
from dashboard.first import html_of
from tests.fix_dashboard_access import as_role
from tests.fix_dashboard_serve import Serving

NOWHERE = "host=127.0.0.1 port=1 dbname=none"


def test_components_become_html_and_text_stays_text() -> None:
    link = dcc.Link(["to ", html.B("<it>")], href='/host?host="a"&b', className="row-link")
    shown = html.Div([link, None, 7, dcc.Store(id="view"), html.Button("x", disabled=True)])
    assert html_of(shown) == (
        '<div><a href="/host?host=&quot;a&quot;&amp;b" class="row-link">to <b>&lt;it&gt;</b></a>7'
        '<button disabled>x</button></div>'
    )  # fmt: skip


def test_names_are_those_of_html_and_charts_are_places() -> None:
    cell = html.Td("1", colSpan=2, style={"flexGrow": 3}, **elements.attributes({"data-a": "b"}))
    assert html_of(cell) == '<td colspan="2" style="flex-grow:3" data-a="b">1</td>'
    assert html_of(elements.graph("host-chart")) == '<div id="host-chart" class="timeline"></div>'
    assert html_of(html.Br()) == "<br>"


def test_a_joined_program_has_another_address_when_a_file_changes(tmp_path: Path) -> None:
    for name, text in (("10-b.js", "b()"), ("05-a.js", "a()"), ("early.js", "e()")):
        (tmp_path / name).write_text(text)
    before = program.join(tmp_path, "js")
    assert gzip.decompress(before.packed) == b"a()\nb()"
    (tmp_path / "10-b.js").write_text("c()")
    assert program.join(tmp_path, "js").address != before.address


def test_a_page_is_in_its_document_and_dash_waits_in_a_template() -> None:
    serving = Serving(database_url=NOWHERE)
    serving.start()
    try:
        page = httpx.get(f"{serving.address}/facility?facility=a&range=6h&odd=%3Cb%3E").text
        program_address = re.findall(r'<script src="(/assets/program-[^"]+)"', page)
        answer = httpx.get(serving.address + program_address[0])
    finally:
        serving.stop()
    assert '<div id="first" data-path="/facility" data-search="facility=a&amp;range=6h">' in page
    first = page[page.index('<div id="first"') : page.index('<div id="react-entry-point"')]
    assert 'id="facility-chart"' in first
    assert "<script" not in first
    later = page[page.index('<template id="later">') : page.index("</template>")]
    assert "dash_renderer" in later
    assert "dash_renderer" not in page.replace(later, "")
    assert answer.headers["cache-control"] == program.FOREVER
    assert "showFirst" in answer.text


@pytest.mark.parametrize(("role", "has_wall"), [("landlord", False), ("viewer", True)])
def test_who_may_not_open_the_wall_sees_no_way_to_it(
    proxied: dict[str, Any], role: str, has_wall: bool
) -> None:
    serving = Serving(database_url=NOWHERE, **proxied)
    serving.start()
    try:
        for path in ("/", "/_dash-layout"):
            answer = httpx.get(serving.address + path, headers=as_role(role))
            assert answer.status_code == 200
            assert ("to-wall" in answer.text) == has_wall
    finally:
        serving.stop()
