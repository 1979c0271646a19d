"""The web application without a database: guard, headers, live line, odd requests."""

import contextlib
import json
import re
import socket
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from tests.fix_dashboard_serve import Serving
from tests.fix_live import live_line

# A port where nothing listens: the pages must come up all the same.
SETTINGS: dict[str, Any] = {
    "database_url": "host=127.0.0.1 port=1 dbname=none",
    "tick_interval_s": 0.2,
    "viewers_max": 8,
    "body_bytes_max": 65_536,
}
CALLBACK = "/_dash-update-component"
ROUTE: dict[str, Any] = {
    "output": "..{content}.children...{store}.data..",
    "outputs": [
        {"id": "_pages_content", "property": "children"},
        {"id": "_pages_store", "property": "data"},
    ],
    "inputs": [
        {"id": "_pages_location", "property": "pathname", "value": "/facility"},
        {"id": "_pages_location", "property": "search", "value": "?range=6h"},
    ],
    "changedPropIds": ["_pages_location.pathname"],
}
ROUTE["output"] = "..{}...{}..".format(
    *(f"{part['id']}.{part['property']}" for part in ROUTE["outputs"])
)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    serving = Serving(**SETTINGS)
    serving.start()
    with httpx.Client(base_url=serving.address) as client:
        yield client
    serving.stop()


def told(line: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(line.recv(timeout=20))
    return message


def test_a_page_comes_without_a_database(client: httpx.Client) -> None:
    answer = client.get("/facility?facility=memphis-1")
    assert answer.status_code == 200
    assert "Fleetgauge" in answer.text


def test_health_is_told(client: httpx.Client) -> None:
    assert client.get("/healthz").status_code == 200


def test_every_answer_has_the_security_headers(client: httpx.Client) -> None:
    for path in ("/", "/assets/05-page.js", "/nothing-here", "/frame/none"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        script = policy.split("script-src")[1].split(";")[0]
        assert "unsafe" not in script
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_all_scripts_and_styles_come_from_here(client: httpx.Client) -> None:
    page = client.get("/").text
    fetched = re.findall(r'<(?:script|link)[^>]+(?:src|href)="([^"]+)"', page)
    assert len(fetched) > 10
    assert [address for address in fetched if not address.startswith("/")] == []


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example"])
def test_other_names_are_refused(client: httpx.Client, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 421


def test_a_good_callback_answers(client: httpx.Client) -> None:
    answer = client.post(CALLBACK, json=ROUTE)
    assert answer.status_code == 200
    assert "facility-chart" in answer.text


def changed(**parts: Any) -> Any:
    return {**ROUTE, **parts}


ODD_BODIES: list[Any] = [
    b"", b"{", b"null", b"[]", b"17", b'"text"', b"\xff\xfe", b"{}", b"[" * 5000,
    changed(output=None), changed(output=7), changed(output="nobody.children"),
    changed(output="..found.children...x.y.."), changed(output="x" * 5000), changed(outputs=None),
    changed(outputs=[]), changed(outputs={"id": {"a": 1}, "property": "children"}),
    changed(outputs={"id": "other", "property": "children"}), changed(inputs=None),
    changed(inputs=[]), changed(inputs=[{}]), changed(inputs=[None]), changed(inputs="search"),
    changed(inputs=[{"id": "_pages_location"}]), changed(inputs=ROUTE["inputs"] * 70),
    changed(inputs=ROUTE["inputs"] * 2), changed(state=[{"id": "a", "property": "b"}]),
    changed(state=None), changed(changedPropIds=None), changed(changedPropIds=["other.value"]),
    changed(changedPropIds=[["search", "value"]]), changed(inputs={"search": 1}),
]  # fmt: skip


@pytest.mark.parametrize("body", ODD_BODIES, ids=range(len(ODD_BODIES)))
def test_an_odd_callback_body_gets_400_and_a_reason(client: httpx.Client, body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    answer = client.post(CALLBACK, content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("value", [None, 7, [], {}, True, "x" * 9000, "\x00%_\\", "//evil"])
def test_any_address_is_routed(client: httpx.Client, value: Any) -> None:
    inputs = [{**part, "value": value} for part in ROUTE["inputs"]]
    assert client.post(CALLBACK, json=changed(inputs=inputs)).status_code in (200, 400)


@pytest.mark.parametrize("words", ["", "x", "memphis", "x" * 3000, "%00", "\\%_", "<b>"])
def test_any_search_is_answered(client: httpx.Client, words: str) -> None:
    answer = client.get("/find", params={"q": words})
    assert answer.status_code == 200
    assert "children" in answer.json()


def test_a_large_body_is_refused(client: httpx.Client) -> None:
    content = b"x" * (SETTINGS["body_bytes_max"] + 1)
    headers = {"content-type": "application/json"}
    assert client.post(CALLBACK, content=content, headers=headers).status_code == 413


def test_the_live_line_says_that_it_is_not_live(client: httpx.Client) -> None:
    with live_line(str(client.base_url)) as line:
        line.send(json.dumps({"path": "/", "search": "", "ask": 5}))
        message = told(line)
        while "fleet-rows" not in message["slots"]:
            message = told(line)
    assert message["ask"] == 5
    assert message["as_of"] is None
    assert message["trouble"]


def test_a_foreign_page_cannot_open_the_live_line(client: httpx.Client) -> None:
    with pytest.raises(InvalidStatus) as caught:
        live_line(str(client.base_url), origin="http://evil.example")
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"path": 5}', '{"path": "/admin"}', '{"path": "/"' + " " * 5000 + "}"]
)
def test_an_odd_subscription_closes_the_line(client: httpx.Client, text: str) -> None:
    with live_line(str(client.base_url)) as line:
        line.send(text)
        with pytest.raises(ConnectionClosed) as caught:
            line.recv(timeout=20)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4400


def test_a_subscription_of_bytes_closes_the_line(client: httpx.Client) -> None:
    with live_line(str(client.base_url)) as line:
        line.send(b'{"path": "/"}')
        with pytest.raises(ConnectionClosed) as caught:
            line.recv(timeout=20)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4400


def test_lines_that_break_at_any_moment_leave_no_trace_in_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    port = client.base_url.port
    shake_hands = (
        b"GET /live HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    text = b'{"path": "/"}'
    said = b"\x81" + bytes([0x80 | len(text)]) + b"\0\0\0\0" + text
    for sent in (b"", b"\x81", said, said * 2, said + b"\x88\x80\0\0\0\0"):
        for waits in (False, True):
            with socket.create_connection(("127.0.0.1", port or 0), 20) as line:
                line.sendall(shake_hands + (b"" if waits else sent))
                if waits:
                    line.recv(1000)
                    line.sendall(sent)
                # Reset, not closed in good order.
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert client.get("/healthz").status_code == 200
    assert "Traceback" not in caplog.text
    assert "without completing" not in caplog.text


def test_too_many_viewers_are_told_so(client: httpx.Client) -> None:
    subscription = json.dumps({"path": "/", "search": ""})
    codes = []
    with contextlib.ExitStack() as open_lines:
        for _ in range(2 * SETTINGS["viewers_max"]):
            line = open_lines.enter_context(live_line(str(client.base_url)))
            line.send(subscription)
            try:
                told(line)
            except ConnectionClosed as closed:
                codes.append(closed.rcvd and closed.rcvd.code)
    # Viewers of the tests before may be leaving still, so a few more than half may be refused.
    assert set(codes) == {4429}
    assert SETTINGS["viewers_max"] <= len(codes) < 2 * SETTINGS["viewers_max"]
