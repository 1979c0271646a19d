"""Another's ids in addresses of a served dashboard: things, pages, callbacks and the live socket.

Ten thousand more are asked of the database, in test_dashboard_foreign_ids.py.
"""

import http.client
import itertools
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fix_dashboard_access import as_role
from tests.fix_live import ask_live, live_line
from tests.fix_tenants import Site, Tenants

pytestmark = pytest.mark.slow

THINGS = 300
PAGES = 60
VIEWS = 40
PATIENCE_S = 60
# A name that is sent may come back in an address; what must not come is every other word.
LEAK = re.compile(
    rb"zeta(?: (?:model|provider|summary|is hot|note|comment|body|error|reason|detail)"
    rb"|-secret-job|-person|-pager|-east title|-east-host-\d-serial)"
)


class Visitor:
    """Somebody at a served dashboard, on one connection."""

    def __init__(self, address: str, who: str) -> None:
        self._address = address
        self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE_S)
        self._headers = as_role(who)

    def ask(self, path: str, body: Any = None) -> tuple[int, bytes]:
        if body is None:
            self._connection.request("GET", path, headers=self._headers)
        else:
            headers = self._headers | {"content-type": "application/json"}
            self._connection.request("POST", path, json.dumps(body), headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def hear(self, addresses: Iterable[str]) -> Iterator[str]:
        """Yield the first message of each view that is not empty."""
        with live_line(self._address, headers=self._headers) as line:
            for ask, address in enumerate(addresses, 1):
                path, _, search = address.partition("?")
                ask_live(line, path, search, ask=ask)
                message: dict[str, Any] = {}
                while message.get("ask") != ask or not message["slots"]:
                    text = line.recv(timeout=PATIENCE_S)
                    message = json.loads(text)
                    assert "fault" not in message["trouble"], address
                yield str(text)


def things(site: Site, frames: list[str]) -> Iterator[str]:
    """Return addresses that lead to a thing of a site and to nothing else."""
    for n in itertools.count():
        host = f"facility={site.facility}&host={site.facility}-host-{n % 2}"
        yield f"/frame/{frames[n % len(frames)]}"
        yield f"/cell?facility={site.facility}&n={n % 4}"
        yield f"/export/samples.csv?{host}&gpu={n // 2 % 2}&range=15m"
        yield f"/export/events.csv?{host}&range={('15m', '1h', '6h')[n % 3]}"
        yield f"/map/at?facility={site.facility}&at={1_700_000_000 + 60 * n}"


def pages(mine: Site, other: Site, chance: random.Random) -> Iterator[str]:
    """Return addresses of pages in which some parameters name mine and some another's."""
    while True:
        values = {}
        for key in ("facility", "host", "gpu", "rack", "incident", "alert", "queue", "racks"):
            site = chance.choice((mine, other, other))
            values[key] = {
                "facility": site.facility, "host": f"{site.facility}-host-0", "gpu": "0",
                "rack": f"{site.facility}-rack", "incident": site.incident_id,
                "alert": site.alert_id, "queue": f"{site.tenant}-train", "racks": site.rack_id,
            }[key]  # fmt: skip
        kept = chance.sample([*values], chance.randint(1, 5))
        path = chance.choice(("/facility", "/host", "/alerts", "/queues", "/health", "/map"))
        yield f"{path}?{'&'.join(f'{key}={values[key]}' for key in kept)}"


def callback(address: str) -> dict[str, Any]:
    """Return what Dash's renderer posts when somebody goes to an address."""
    path, _, search = address.partition("?")
    outputs = (("_pages_content", "children"), ("_pages_store", "data"))
    inputs = (("pathname", path), ("search", f"?{search}"))
    return {
        "output": "".join(f"..{name}.{kind}." for name, kind in outputs) + ".",
        "outputs": [{"id": name, "property": kind} for name, kind in outputs],
        "inputs": [{"id": "_pages_location", "property": n, "value": v} for n, v in inputs],
        "changedPropIds": ["_pages_location.search"],
    }


def test_t07_a_served_dashboard_gives_nothing_of_anothers(
    tenants: Tenants, front_door: Callable[[str], str]
) -> None:
    mine, other = tenants.sites["acme-north"], tenants.sites["zeta-east"]
    address, chance = front_door(tenants.url), random.Random(7)
    owner, thief = Visitor(address, "zeta"), Visitor(address, "admin")
    assert owner.ask("/find?q=zeta")[0] == 200  # the first look is over
    theirs = next(owner.hear([f"/host?facility={other.facility}&host={other.facility}-host-0"]))
    assert LEAK.search(theirs.encode()), "even its owner is told nothing"
    frames = re.findall(
        r"/frame/([0-9a-f]+)", next(owner.hear([f"/map?facility={other.facility}"]))
    )
    assert [owner.ask(path)[0] for path in itertools.islice(things(other, frames), 5)] == [200] * 5
    for path in itertools.islice(things(other, frames), THINGS):
        status, told = thief.ask(path)
        assert status == 404, path
        assert not LEAK.search(told), path
    nothing = thief.ask("/find?q=nobody")
    for word in ("zeta%20prov", "zeta-east-rack", "zeta-east-h", "zeta-east-host-0-serial"):
        assert owner.ask(f"/find?q={word}") != nothing, word
        assert thief.ask(f"/find?q={word}") == nothing, word
    for path in itertools.islice(pages(mine, other, chance), PAGES):
        for status, told in (thief.ask(path), thief.ask("/_dash-update-component", callback(path))):
            assert status == 200, path
            assert not LEAK.search(told), path
    for text in thief.hear(itertools.islice(pages(mine, other, chance), VIEWS)):
        assert not LEAK.search(text.encode()), text
