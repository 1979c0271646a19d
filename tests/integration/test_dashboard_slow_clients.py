"""Clients that are slow on purpose, on real sockets: cut off, while the others notice nothing."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from dashboard import connections, guard, live
from tests.fix_dashboard_serve import Serving
from tests.fix_live import live_line

NOWHERE = "host=127.0.0.1 port=1 dbname=none"
LARGE = "/_dash-component-suites/dash/dash-renderer/build/dash_renderer.min.js"
PATIENCE_S = 120
BOUNDS_S = 2.0


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    for module, name in (
        (connections, "HEAD_S_MAX"), (connections, "UNTAKEN_S_MAX"), (guard, "BODY_S_MAX"),
        (live, "SUBSCRIBE_S_MAX"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, BOUNDS_S)
    serving = Serving(database_url=NOWHERE, connections_max=1000)
    serving.start()
    yield serving
    serving.stop()


class Slow:
    """A client that goes its own way on one connection."""

    def __init__(self, serving: Serving, first: bytes = b"", receive_bytes: int = 0) -> None:
        self.line = socket.socket()
        if receive_bytes:
            self.line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.line.settimeout(PATIENCE_S)
        self.line.connect(("127.0.0.1", serving.port))
        self.line.sendall(first)
        self.drop = b"x"

    @property
    def is_cut_off(self) -> bool:
        """Whether the server has ended the connection."""
        poll = select.poll()
        poll.register(self.line, select.POLLIN | select.POLLRDHUP)
        ended = select.POLLHUP | select.POLLERR | select.POLLRDHUP
        return any(event & ended for _, event in poll.poll(0))

    def send_a_drop(self) -> None:
        with contextlib.suppress(OSError):
            self.line.send(self.drop)


@contextlib.contextmanager
def dripping(clients: list[Slow]) -> Iterator[None]:
    """Let each client send one byte after the other meanwhile."""
    ended = threading.Event()

    def drip() -> None:
        while not ended.wait(0.1):
            for client in clients:
                client.send_a_drop()

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for client in clients:
            client.line.close()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ask_as_others_do(serving: Serving, times: int = 10) -> None:
    for _ in range(times):
        with httpx.Client(base_url=serving.address, timeout=PATIENCE_S) as client:
            assert client.get("/healthz").status_code == 200
            assert client.get("/assets/05-page.js").status_code == 200


def test_f38_two_hundred_heads_that_never_end_are_cut_off_and_stop_nobody(
    serving: Serving,
) -> None:
    clients = [Slow(serving, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ") for _ in range(180)]
    clients += [Slow(serving) for _ in range(20)]  # these say nothing at all
    with dripping(clients[:180]):
        ask_as_others_do(serving)
        wait_until(lambda: all(client.is_cut_off for client in clients))
        ask_as_others_do(serving, times=1)


def test_f38_a_body_that_never_ends_is_given_up_and_so_is_its_connection(
    serving: Serving,
) -> None:
    head = (
        b"POST /_dash-update-component HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
    )
    clients = [Slow(serving, head) for _ in range(50)]
    with dripping(clients):
        ask_as_others_do(serving)
        wait_until(lambda: all(client.is_cut_off for client in clients))
        assert clients[0].line.recv(100).startswith(b"HTTP/1.1 408 ")


def test_f38_readers_who_never_read_are_cut_off_and_their_answers_let_go(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    ask = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % LARGE.encode()
    clients = [Slow(serving, ask * 40, receive_bytes=4096) for _ in range(12)]
    try:
        ask_as_others_do(serving)
        wait_until(lambda: not serving.connections)
        assert not any(part in caplog.text for part in ("Traceback", "Exception in ASGI"))
    finally:
        for client in clients:
            client.line.close()


def test_f38_a_page_that_opens_a_socket_and_says_nothing_is_sent_away(serving: Serving) -> None:
    with live_line(serving.address) as line, pytest.raises(ConnectionClosed) as e:
        line.recv(timeout=PATIENCE_S)
    assert e.value.rcvd is not None
    assert e.value.rcvd.code == 4408


def test_f38_where_all_places_are_taken_the_one_who_waits_longest_goes() -> None:
    serving = Serving(database_url=NOWHERE, connections_max=32)
    serving.start()
    clients: list[Slow] = []
    try:
        clients += (Slow(serving, b"GET / HTTP/1.1\r\nX-Slow: ") for _ in range(200))
        ask_as_others_do(serving)
        wait_until(lambda: sum(client.is_cut_off for client in clients) >= 168)
        assert not clients[-1].is_cut_off
    finally:
        for client in clients:
            client.line.close()
        serving.stop()


@pytest.mark.parametrize(
    "part", [b"X-Long: " + b"x" * 40_000, b"X-Many: x\r\n" * 4000, b"Cookie: " + b"a=b; " * 9000]
)
def test_f38_a_head_without_measure_is_refused(serving: Serving, part: bytes) -> None:
    client = Slow(serving, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + part)
    assert client.line.recv(100).startswith(b"HTTP/1.1 431 ")
    wait_until(lambda: client.is_cut_off)
    client.line.close()
