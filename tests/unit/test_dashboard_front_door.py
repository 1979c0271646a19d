"""The served dashboard with access control: every route by every role, and paths that trick."""

import contextlib
import http.client
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dashboard.pages import PAGES
from tests.fix_dashboard_access import ROLES, as_role
from tests.fix_live import ask_live, live_line

NOWHERE = "host=127.0.0.1 port=1 dbname=none"
ROUTES = (
    *PAGES, "/_dash-layout", "/_dash-dependencies", "/_favicon.ico", "/find", "/cell", "/me",
    "/frame/none", "/assets/05-page.js", "/export/samples.csv", "/export/events.csv",
    "/_dash-component-suites/dash/dash-renderer/build/dash_renderer.min.js", "/live", "/logout",
    "/_dash-update-component", "/_reload-hash", "/_dash-ws-callback", "/_mcp", "/metrics", "/audit",
    "/act/silence", "/act/acknowledge", "/login", "/login/done", "/nothing",
)  # fmt: skip
MUTATIONS: tuple[Callable[[str], str], ...] = (
    lambda p: "/" + p, lambda p: "//" + p, lambda p: p + "/", lambda p: p + "//",
    lambda p: p + "/.", lambda p: p + "/..", lambda p: "/." + p, lambda p: "/.." + p,
    lambda p: "/%2e%2e" + p, lambda p: "/%2e" + p, lambda p: "/x/.." + p, lambda p: "/x/%2e%2e" + p,
    lambda p: p + "%2f", lambda p: "/%2f" + p[1:], lambda p: p.replace("/", "%2f"),
    lambda p: p.replace("/", "%5c"), lambda p: p.replace("/", "\\"), lambda p: p + ";x",
    lambda p: "/..;" + p, lambda p: p + ";/", lambda p: p + ".", lambda p: p + "%2e",
    lambda p: p + "%20", lambda p: p + "%00", lambda p: p + "%0d%0a", lambda p: p + "%09",
    lambda p: p.upper(), lambda p: p.title(), lambda p: p + "%ff", lambda p: p + "%c0%af",
    lambda p: p.replace("a", "%61"), lambda p: p.replace("e", "%2565"),
    lambda p: "/assets/.." + p, lambda p: "/assets/%2e%2e" + p, lambda p: "/healthz/.." + p,
    lambda p: "/healthz%2f.." + p, lambda p: "/healthz;" + p, lambda p: "/login/.." + p,
    lambda p: p + "?next=//evil", lambda p: p + "#x", lambda p: "http://localhost" + p,
    lambda p: "http://evil.example" + p,
)  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from tests.fix_dashboard_access import RULES, SECRET  # noqa: PLC0415
    from tests.fix_dashboard_serve import Serving  # noqa: PLC0415

    path = tmp_path_factory.mktemp("proxy") / "secret"
    path.write_text(SECRET)
    path.chmod(0o600)
    serving = Serving(
        database_url=NOWHERE, access="proxy", access_rules=RULES, proxy_peers="127.0.0.1",
        proxy_secret_file=str(path),
    )  # fmt: skip
    serving.start()
    yield serving.address
    serving.stop()


class Line:
    """A connection that sends a path as it is written, which clients usually do not."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._to = (parts.hostname or "", parts.port or 0)
        self._connection = http.client.HTTPConnection(*self._to, timeout=60)

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, bytes, Any]:
        try:
            return self._once(method, path, headers or {}, body)
        except (http.client.HTTPException, OSError):  # it closes after what is no HTTP
            self._connection.close()
            self._connection = http.client.HTTPConnection(*self._to, timeout=60)
            return self._once(method, path, headers or {}, body)

    def _once(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, Any]:
        self._connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            self._connection.putheader(name, value)
        if body or method == "POST":
            self._connection.putheader("content-length", str(len(body)))
        self._connection.endheaders(body or None)
        answer = self._connection.getresponse()
        return answer.status, answer.read(), answer.headers

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def line(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    # The client's own check, which would keep the odd paths from being sent.
    monkeypatch.setattr(http.client.HTTPConnection, "_validate_path", lambda *_: None)
    with contextlib.closing(Line(address)) as line:
        yield line


def test_t08_nobody_gets_anything_but_health(line: Line) -> None:
    for method, path in itertools.product(("GET", "POST", "HEAD", "OPTIONS", "TRACE"), ROUTES):
        status, body, _ = line.ask(method, path)
        assert status in (401, 404, 405, 501), f"{method} {path}"
        assert len(body) < 200
    assert line.ask("GET", "/healthz")[:2] == (200, b"OK")


def test_t08_each_role_reaches_its_pages_and_no_others(line: Line) -> None:
    landlords = {"/", "/map", "/facility", "/host", "/health"}
    for role, path in itertools.product(ROLES, PAGES):
        may = path in landlords if role == "landlord" else path != "/audit" or role == "admin"
        assert line.ask("GET", path, as_role(role))[0] == (200 if may else 403), f"{role} {path}"


def test_t08_no_spelling_of_a_path_opens_more(line: Line) -> None:
    """Every route in 42 spellings for nobody and for each role: nobody is never let in."""
    tried = 0
    for path, mutate in itertools.product(ROUTES, MUTATIONS):
        odd = mutate(path)
        if "\r" in odd or " " in odd:
            continue
        status, body, _ = line.ask("GET", odd)
        tried += 1
        assert status in (400, 401, 404, 405, 421), odd
        assert b"_dash" not in body, odd
    for role in ROLES:
        for path, mutate in itertools.product(("/queues", "/audit", "/act/silence"), MUTATIONS):
            odd = mutate(path)
            status, body, _ = line.ask("GET", odd, as_role(role))
            tried += 1
            if status == 200:  # the same page with a query, for those whose it is
                plain = odd.removeprefix("http://localhost").partition("?")[0].partition("#")[0]
                assert plain in PAGES, odd
                assert role != "landlord", odd
    assert tried > 1500


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "X"])
def test_t08_another_method_is_no_way_in(line: Line, method: str) -> None:
    assert line.ask(method, "/map", as_role("admin"))[0] in (400, 404, 405, 501)


def test_t08_a_method_in_a_header_counts_for_nothing(line: Line) -> None:
    headers = as_role("viewer") | {"X-HTTP-Method-Override": "POST"}
    assert line.ask("GET", "/act/silence", headers)[0] == 404


def socket_code(address: str, origin: str, headers: dict[str, str], path: str) -> int | None:
    try:
        with live_line(address, origin=origin, headers=headers) as line:
            ask_live(line, path)
            line.recv(timeout=30)
    except InvalidStatus as refused:
        return refused.response.status_code
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
    return None


def test_t08_the_live_socket_is_shut_for_nobody_and_for_pages_of_others(address: str) -> None:
    assert socket_code(address, address, {}, "/") == 403
    assert socket_code(address, address, as_role("viewer"), "/queues") is None
    assert socket_code(address, address, as_role("landlord"), "/queues") == 4400
    assert socket_code(address, address, as_role("landlord"), "/map") is None


def test_t09_a_foreign_page_opens_no_socket(address: str) -> None:
    for origin in ("http://evil.example", "null", f"{address}.evil.example", "file://"):
        assert socket_code(address, origin, as_role("admin"), "/") == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"}, 415),
        (
            {
                "Sec-Fetch-Site": "same-origin",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            415,
        ),
    ],
)
def test_t09_a_foreign_page_changes_nothing(
    line: Line, headers: dict[str, str], status: int
) -> None:
    sent = as_role("admin") | {"Content-Type": "application/json"} | headers
    assert line.ask("POST", "/act/silence", sent, b"{}")[0] == status


def test_t08_a_landlord_is_offered_only_what_is_theirs(line: Line) -> None:
    layout = line.ask("GET", "/_dash-layout", as_role("landlord"))[1].decode()
    assert "nav-map" in layout
    assert "nav-queues" not in layout
    assert "nav-queues" in line.ask("GET", "/_dash-layout", as_role("viewer"))[1].decode()


def test_answers_are_kept_by_nobody(line: Line) -> None:
    for path in ("/", "/_dash-layout", "/me", "/find", "/nothing"):
        headers = line.ask("GET", path, as_role("viewer"))[2]
        assert headers["cache-control"] == "no-store", path
        assert "Cookie" in headers.get_all("vary")


def test_t20_a_header_from_elsewhere_counts_for_nothing(line: Line) -> None:
    headers = {"X-Forwarded-User": "admin", "X-Forwarded-Groups": "admin"}
    assert line.ask("GET", "/", headers)[0] == 401
    assert line.ask("GET", "/", headers | {"X-Forwarded-For": "127.0.0.1"})[0] == 401
    status, body, _ = line.ask("GET", "/me", as_role("viewer"))
    assert (status, json.loads(body)["role"]) == (200, "viewer")
