"""The broadcaster: one computation for all viewers, the newest only, and honest about age."""

import asyncio
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from dash import dcc, html

from dashboard.broadcast import Broadcaster, TooManyViewers
from dashboard.markup import encode
from dashboard.settings import DashboardSettings
from dashboard.sources import Slots, Sources
from dashboard.view import View
from telemetry.clock import SystemClock
from telemetry.errors import RetryableError

FLEET = View("/")
COLUMNS = ("gpu_ids", "host_ids", "indices", "present", "parts", "slowdown_celsius", "models")
EMPTY = {
    "horizon": [SimpleNamespace(horizon=700, snapshot="700:700:")],
    "accelerators": [SimpleNamespace(accelerators=0, **dict.fromkeys(COLUMNS))],
}


class FakeSource:
    """Answers every query as an empty database does, or is away."""

    def __init__(self) -> None:
        self.away = False

    async def rows(
        self, file: str, name: str, parameters: Mapping[str, Any] | None = None
    ) -> list[Any]:
        if self.away:
            raise RetryableError("the database does not answer")
        return EMPTY.get(name, [])


class FakePage:
    """Counts how often it is rendered."""

    def __init__(self) -> None:
        self.renders = 0
        self.broken = False

    async def render(self, view: View, sources: Sources) -> Slots:
        if self.broken:
            raise ZeroDivisionError
        self.renders += 1
        return {"steady": {"children": "same"}, "count": {"children": str(self.renders)}}


def broadcaster(page: FakePage, source: FakeSource | None = None, **bounds: Any) -> Broadcaster:
    pages = {"/": page.render}
    return Broadcaster(source or FakeSource(), pages, SystemClock(), tick_interval_s=0.05, **bounds)


async def read(caster: Broadcaster, count: int, view: View = FLEET) -> list[dict[str, Any]]:
    messages = []
    line = caster.updates(view)
    async for update in line:
        messages.append(json.loads(update.message))
        if len(messages) == count:
            break
    await line.aclose()  # type: ignore[attr-defined]
    return messages


async def running(caster: Broadcaster, *work: Any) -> list[Any]:
    task = asyncio.create_task(caster.run())
    try:
        return list(await asyncio.wait_for(asyncio.gather(*work), 20))
    finally:
        task.cancel()


def test_a_view_is_computed_once_for_all_its_viewers() -> None:
    page = FakePage()
    caster = broadcaster(page)

    async def watch() -> int:
        before = page.renders
        await running(caster, *(read(caster, 5) for _ in range(20)))
        return page.renders - before

    assert asyncio.run(watch()) <= 8


def test_a_viewer_is_sent_what_changed_and_nothing_else() -> None:
    caster = broadcaster(FakePage())
    [messages] = asyncio.run(running(caster, read(caster, 3)))
    assert set(messages[0]["slots"]) == {"steady", "count"}
    assert set(messages[1]["slots"]) == {"count"}


def test_a_viewer_that_leaves_in_the_moment_of_a_change_has_left() -> None:
    page = FakePage()
    caster = broadcaster(page)

    async def watch() -> None:
        async for _ in caster.updates(FLEET):
            pass

    async def leave_after(steps: int) -> bool:
        watching = asyncio.create_task(watch())
        before = page.renders
        while page.renders < before + 2:  # noqa: ASYNC110 - each turn of the loop counts
            await asyncio.sleep(0)
        for _ in range(steps):
            await asyncio.sleep(0)
        watching.cancel()
        await asyncio.wait({watching}, timeout=10)
        return watching.cancelled()

    async def leave() -> list[bool]:
        return [await leave_after(steps) for steps in range(12)]

    [left] = asyncio.run(running(caster, leave()))
    assert left == [True] * 12


def test_a_slow_viewer_skips_and_gets_the_newest() -> None:
    page = FakePage()
    caster = broadcaster(page)

    async def slow() -> tuple[str, int]:
        line = caster.updates(FLEET)
        await anext(line)
        await asyncio.sleep(0.5)
        message = json.loads((await anext(line)).message)
        return message["slots"]["count"]["children"], page.renders

    [(shown, rendered)] = asyncio.run(running(caster, slow()))
    assert rendered - int(shown) <= 1
    assert caster.counters["ticks_skipped"] > 0


def test_a_database_that_is_away_is_told_and_the_last_values_stay() -> None:
    source = FakeSource()
    caster = broadcaster(FakePage(), source)

    async def lose() -> dict[str, Any]:
        line = caster.updates(FLEET)
        first = json.loads((await anext(line)).message)
        assert first["trouble"] == ""
        source.away = True
        async for update in line:
            told: dict[str, Any] = json.loads(update.message)
            if told["trouble"]:
                return told
        raise AssertionError

    [told] = asyncio.run(running(caster, lose()))
    assert told["trouble"] == "the database does not answer"
    assert told["as_of"] is not None


def test_a_page_with_a_fault_says_so_and_goes_on_when_it_is_gone() -> None:
    page = FakePage()
    caster = broadcaster(page)

    async def break_it() -> list[str]:
        line = caster.updates(FLEET)
        await anext(line)
        page.broken = True
        troubles = []
        async for update in line:
            troubles.append(json.loads(update.message)["trouble"])
            if troubles[-1]:
                page.broken = False
            elif len(troubles) > 1 and troubles[-2]:
                return troubles
        raise AssertionError

    [troubles] = asyncio.run(running(caster, break_it()))
    assert any("fault" in trouble for trouble in troubles)


def test_viewers_and_views_are_bounded() -> None:
    async def crowd(caster: Broadcaster, views: list[View]) -> None:
        lines = [caster.updates(view) for view in views]
        try:
            for line in lines:
                await anext(line)
        finally:
            for line in lines:
                await line.aclose()  # type: ignore[attr-defined]

    few = broadcaster(FakePage(), viewers_max=2)
    with pytest.raises(TooManyViewers):
        asyncio.run(running(few, crowd(few, [FLEET] * 3)))
    assert few.counters["viewers"] == 0
    narrow = broadcaster(FakePage(), views_max=1)
    views = [FLEET, View("/", (("range", "6h"),))]
    with pytest.raises(TooManyViewers):
        asyncio.run(running(narrow, crowd(narrow, views)))


def test_frames_have_an_address_by_content_and_go_after_a_while() -> None:
    caster = broadcaster(FakePage())
    first = caster.sources().blobs(b"one")
    assert caster.sources().blobs(b"one") == first
    for n in range(300):
        caster.sources().blobs(str(n).encode())
    assert caster.blob(first.rpartition("/")[2]) is None


def test_components_become_plain_elements() -> None:
    link = dcc.Link(["to ", html.B("it")], href="/host?host=a", className="row-link")
    tree = json.loads(encode({"children": html.Div([link, None], title="x")}))["children"]
    assert tree["t"] == "div"
    assert tree["a"] == {"title": "x"}
    assert tree["c"][0]["t"] == "a"
    assert tree["c"][0]["a"] == {"href": "/host?host=a", "class": "row-link"}


def test_what_is_not_plain_html_has_no_place_in_a_slot() -> None:
    with pytest.raises(NotImplementedError):
        encode({"children": dcc.Graph(id="x")})


def test_the_dashboard_listens_on_loopback_unless_told_otherwise() -> None:
    for address in ("0.0.0.0:8050", "192.0.2.7:80", "example.org:80"):
        with pytest.raises(ValueError, match="not loopback"):
            DashboardSettings(listen_address=address)
    for address in ("127.0.0.1:1", "[::1]:8050", "localhost:0"):
        assert DashboardSettings(listen_address=address).host


def test_a_frame_goes_before_the_message_that_speaks_of_it_and_once() -> None:
    class Painted(FakePage):
        async def render(self, view: View, sources: Sources) -> Slots:
            self.renders += 1
            steady, moving = sources.blobs(b"layout"), sources.blobs(b"%d" % self.renders)
            return {"map": {"children": f"{steady} {moving}"}}

    caster = broadcaster(Painted())

    async def look() -> list[tuple[list[str], str]]:
        line = caster.updates(FLEET)
        found = []
        for _ in range(3):
            update = await anext(line)
            told = json.loads(update.message)["slots"]["map"]["children"]
            found.append(([f"/frame/{name}" for name, _ in update.frames], told))
        return found

    [found] = asyncio.run(running(caster, look()))
    layout = found[0][1].split()[0]
    assert found[0][0] == found[0][1].split()
    assert [frames for frames, _ in found[1:]] == [[told.split()[1]] for _, told in found[1:]]
    assert layout not in found[1][0]


def test_viewers_that_are_as_far_are_sent_the_same_bytes() -> None:
    caster = broadcaster(FakePage())

    async def look() -> bool:
        lines = [caster.updates(FLEET) for _ in range(2)]
        for _ in range(100):
            first, second = await asyncio.gather(*(anext(line) for line in lines))
            if first.message is second.message:
                return True
        return False

    assert asyncio.run(running(caster, look())) == [True]
