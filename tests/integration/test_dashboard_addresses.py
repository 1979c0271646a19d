"""Addresses that nobody would type: each is answered, and none is an error of ours.

Files and pages are asked for over HTTP; what the live line would send of a page is made in process.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from importlib import import_module
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.access.identity import LOCAL
from dashboard.broadcast import Broadcaster
from dashboard.markup import encode
from dashboard.pages import PAGES
from dashboard.queries import Queries
from dashboard.settings import DashboardSettings
from dashboard.view import PARAMETERS, View
from telemetry.clock import SystemClock
from tests.fix_tenants import Tenants

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("database_server", ["postgres"], indirect=True),  # any does
]

FILES = ("/cell", "/map/at", "/find", "/export/samples.csv", "/export/events.csv")
TIMES = (
    "0", "-1", "1", "7e9", "1e308", "-1e308", "nan", "inf", "1e-9", "9" * 150, "now-99999999d",
    "2024-02-30", "2024-02-29T25:61:00Z", "0001-01-01", "9999-12-31T23:59:59.999999Z",
    "1700000000.0000001", "2024-01-01T00:00:00+99:99", "0x10", "1/0", "12:00",
)  # fmt: skip
WORDS = (
    "", " ", "*", "%", "_", "\\", "'", "';--", "1 or 1=1", "acme-north' or '1'='1", "..", "../..",
    "/etc/passwd", "\x00", "\r\nSet-Cookie: x=1", "\u202e", "\ufeff", "null", "None", "undefined",
    "{}", "[]", "true", "-0", "2147483648", "9223372036854775808", "1e3", "\u0663", "x" * 160,
    "x" * 161, "<img src=x onerror=alert(1)>", "javascript:alert(1)", "acme-north/../zeta-east",
    "//evil", "acme-north\x00", "ACME-NORTH", "acme-north ", "acme\u2010north", "$(id)", "{{7*7}}",
    "%s%n", "0-99999999", "1-1,2-2", "-1--1", "acme-north\n",
)  # fmt: skip
GOOD = "facility=acme-north&host=acme-north-host-0&gpu=0&incident=1"
SEARCHES = (
    # A third of the words for each parameter, another third for the next.
    *(f"{name}={quote(word)}" for n, name in enumerate(PARAMETERS) for word in WORDS[n % 3 :: 3]),
    *(f"{GOOD}&from={quote(a)}&to={quote(b)}" for a in TIMES[:6] for b in TIMES),
    *(f"{GOOD}&{key}={quote(word)}" for key in ("at", "range") for word in TIMES),
    *(f"{GOOD}&{'&'.join(f'a{n}=1' for n in range(count))}" for count in (63, 64, 65, 1000)),
    f"{GOOD}&" + "host=x&" * 500, "&" * 1000, "=" * 1000, "%", "%ff%fe", "%u0041", "a=b=c", "?",
    "facility", "facility=", "from=1&from=2&to=5&to=1700000000", f"signal={'%41' * 900}",
)  # fmt: skip


def test_f39_no_address_is_an_error_of_ours(
    tenants: Tenants, serve_dashboard: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    assert len(SEARCHES) >= 390
    address = serve_dashboard(database_url=tenants.url, statement_timeout_ms=60_000)
    pages = tuple(PAGES)
    with httpx.Client(base_url=address, timeout=60) as client:
        for number, search in enumerate(SEARCHES):
            half = number // 2
            path = pages[half % len(pages)] if number % 2 else FILES[half % len(FILES)]
            answer = client.get(f"{path}?{search}")
            assert answer.status_code < 500, f"{path}?{search}"
            assert b"Traceback" not in answer.content, f"{path}?{search}"
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []


Render = Callable[[View], None]


@pytest.fixture
def render(tenants: Tenants) -> Iterator[Render]:
    """Makes what a page sends; whatever it raises is raised."""
    queries = Queries(
        DashboardSettings(database_url=tenants.url, statement_timeout_ms=60_000)
    ).seen_by(LOCAL.audience)
    renders = {path: import_module(name).render for path, name in PAGES.items()}
    caster = Broadcaster(queries, renders, SystemClock())

    async def make(view: View) -> None:
        for properties in (await renders[view.path](view, caster.sources())).values():
            encode(properties)

    with asyncio.Runner() as runner:
        runner.run(queries.open())
        runner.run(caster._look())
        assert caster.picture.hosts
        yield lambda view: runner.run(make(view))
        runner.run(queries.close())


def test_f39_no_address_breaks_a_live_page(render: Render) -> None:
    pages = tuple(PAGES)
    views = dict.fromkeys(
        View.parse(pages[n % len(pages)], search) for n, search in enumerate(SEARCHES)
    )
    assert len(views) > 100
    for view in views:
        render(view)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(sorted(PAGES)),
    values=st.dictionaries(
        st.sampled_from(PARAMETERS),
        st.text("0123456789-,.:eTZ+ax", max_size=24)
        | st.floats().map(str)
        | st.integers().map(str),
        max_size=6,
    ),
    ends=st.tuples(st.floats().map(str), st.floats().map(str)),
)
def test_f39_any_values_make_a_live_page(
    render: Render, path: str, values: dict[str, str], ends: tuple[str, str]
) -> None:
    good = {"facility": "acme-north", "host": "acme-north-host-0", "gpu": "0"}
    render(View.of(path, good | {"from": ends[0], "to": ends[1]} | values))
