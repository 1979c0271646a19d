"""A receiver of notices that behaves as badly as told, and remembers everything it got."""

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

# A behaviour gets the request's handler and answers, or does not.
Behaviour = Callable[[http.server.BaseHTTPRequestHandler], None]


@dataclass
class Received:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes
    time_s: float = field(default_factory=time.monotonic)

    @property
    def notice(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


class Receiver(http.server.ThreadingHTTPServer):
    """Answers with each behaviour of the script in turn, then always 204."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[Behaviour] = []
        self.usual: Behaviour = answer(204)
        self.received: list[Received] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?token=canary-5EC2E7"

    def notices(self) -> list[dict[str, Any]]:
        with self.lock:
            return [each.notice for each in self.received]

    def wait_for(self, count: int, timeout_s: float = 20.0) -> list[dict[str, Any]]:
        """Return the notices once there are `count` of them."""
        deadline = time.monotonic() + timeout_s
        while len(self.notices()) < count:
            assert time.monotonic() < deadline, f"{len(self.notices())} of {count} notices came"
            time.sleep(0.02)
        return self.notices()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up on a misbehaving server is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        with self.server.lock:
            self.server.received.append(Received(dict(self.headers.items()), body))
            behaviour = self.server.script.pop(0) if self.server.script else self.server.usual
        behaviour(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Tests read what was received, not a log."""


def answer(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    def behave(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def hang_up(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.close()


def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Send a header that never ends, one byte now and then."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(600):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def flood(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Answer 200 and a body without end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(10_000):
        handler.wfile.write(b"x" * 65_536)


def babble(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Answer in no known protocol."""
    handler.wfile.write(b"\x16\x03\x01 what is this\r\n\r\n")
    handler.close_connection = True


@pytest.fixture
def make_receiver() -> Iterator[Callable[[], Receiver]]:
    running: list[Receiver] = []

    def make() -> Receiver:
        receiver = Receiver()
        thread = threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        running.append(receiver)
        return receiver

    yield make
    for receiver in running:
        receiver.shutdown()
        receiver.server_close()


@pytest.fixture
def receiver(make_receiver: Callable[[], Receiver]) -> Receiver:
    return make_receiver()
