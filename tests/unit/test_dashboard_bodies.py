"""Bodies that no page of ours sends, to every route that takes one: a short reason, never 500."""

import copy
import json
import logging
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dashboard.acts import ACTS
from tests.fix_dashboard_serve import Serving

CALLBACK = "/_dash-update-component"
ROUTES = (CALLBACK, *(f"/act/{name}" for name in ACTS))
BODIES_A_ROUTE = 520
LOCATION = "_pages_location"
GOOD: dict[str, Any] = {
    "output": ".._pages_content.children..._pages_store.data..",
    "outputs": [
        {"id": "_pages_content", "property": "children"},
        {"id": "_pages_store", "property": "data"},
    ],
    "inputs": [
        {"id": LOCATION, "property": "pathname", "value": "/facility"},
        {"id": LOCATION, "property": "search", "value": "?range=6h"},
    ],
    "changedPropIds": [f"{LOCATION}.pathname"],
    "parsedChangedPropsIds": [f"{LOCATION}.pathname"],
    "state": [],
}
GOOD_ACT = {"incident": 1, "alert": None, "comment": "x", "to": "ann", "hours": 2, "silence": 1}
WHOLE: tuple[bytes, ...] = (
    b"", b"null", b"true", b"0", b"-0", b"1e999", b"NaN", b'"x"', b"[]", b"{}", b"[{}]", b"{",
    b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"\x00", b'"\\ud800"', b"[" * 30_000, b'{"a":' * 9000,
    b"9" * 5000, b'{"output":1,"output":"x"}', b"x=1&y=2", b"<a/>", b"\x1f\x8b\x08\x00", b"// {}",
)  # fmt: skip
JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 2**63, 2**70, 10**400, "", " ", "x", "x" * 70_000, "\x00", "\ud800",
    [], [[]], [None], [{}], {}, {"$ne": 1}, {"id": {"a": 1}}, {"__proto__": {"x": 1}},
    {"id": LOCATION, "property": "search", "value": {"$gt": ""}},
    [{"id": {"type": "x", "index": n}, "property": "p"} for n in range(1000)],
    "../../etc/passwd", "javascript:alert(1)", "..a.b...c.d..", "a.b@x", float("nan"),
)  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    serving = Serving(database_url="host=127.0.0.1 port=1 dbname=none")
    serving.start()
    headers = {"content-type": "application/json", "sec-fetch-site": "same-origin"}
    with httpx.Client(base_url=serving.address, headers=headers, timeout=60) as client:
        yield client
    serving.stop()


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a body, the whole left out."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield (*at, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*at, key))


def mutated(good: dict[str, Any], chance: random.Random) -> bytes:
    """A good body with one to three parts replaced, left out, doubled or renamed."""
    body = copy.deepcopy(good)
    for _ in range(chance.randint(1, 3)):
        found = list(places(body))
        if not found:
            break
        *way, key = chance.choice(found)
        holder = body
        for part in way:
            holder = holder[part]
        match chance.randrange(4):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case 1:
                holder[f"{key}x"] = holder.pop(key)
            case _:
                holder[key] = copy.deepcopy(chance.choice(JUNK))
    return json.dumps(body).encode()


@pytest.mark.parametrize("route", ROUTES)
def test_b3_an_odd_body_gets_a_short_reason_and_never_500(
    client: httpx.Client, route: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    chance = random.Random(route)
    good = GOOD if route == CALLBACK else GOOD_ACT
    bodies = [*WHOLE, *(mutated(good, chance) for _ in range(BODIES_A_ROUTE - len(WHOLE)))]
    statuses = set()
    for body in bodies:
        answer = client.post(route, content=body)
        statuses.add(answer.status_code)
        # 503: a sound act while the database is away.
        assert answer.status_code in (200, 400, 413, 503), body[:300]
        if answer.status_code != 200:
            assert len(answer.content) < 1000
            assert answer.json()["error"], body[:300]
    assert 400 in statuses
    assert "Traceback" not in caplog.text
    assert "Exception in ASGI" not in caplog.text


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": ""},
        {"content-encoding": "gzip"},
        {"content-encoding": "deflate"},
    ],
)
def test_b3_what_is_not_plain_json_is_415(
    client: httpx.Client, route: str, headers: dict[str, str]
) -> None:
    answer = client.post(route, content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert answer.json()["error"]
