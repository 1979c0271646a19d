"""The proxy and browser fixtures do what tests of failures and of pages rely on."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from kafka import KafkaAdminClient

from tests.fix_browser import MakePage
from tests.fix_proxy import ProxiedBroker, Proxy
from tests.fix_services import DatabaseServer

ProxyTo = Callable[[str], Proxy]


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=answer, args=(connection,)))
            threads[-1].start()

    threads.append(threading.Thread(target=serve))
    threads[0].start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join(10)


def test_proxy_passes_bytes_both_ways(echo: str, proxy_to: ProxyTo) -> None:
    with _connect(proxy_to(echo)) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"


def test_cut_proxy_resets_connections_and_refuses_new_ones(echo: str, proxy_to: ProxyTo) -> None:
    proxy = proxy_to(echo)
    with _connect(proxy) as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        proxy.cut()
        assert _is_dead(client)
    with pytest.raises(ConnectionRefusedError):
        _connect(proxy)
    proxy.heal()
    with _connect(proxy) as client:
        client.sendall(b"b")
        assert client.recv(1) == b"b"


def test_stalled_proxy_holds_bytes_back_until_healed(echo: str, proxy_to: ProxyTo) -> None:
    proxy = proxy_to(echo)
    with _connect(proxy) as client:
        proxy.stall()
        client.sendall(b"late")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.heal()
        client.settimeout(5)
        assert client.recv(4) == b"late"


def test_stalled_proxy_can_be_cut(echo: str, proxy_to: ProxyTo) -> None:
    proxy = proxy_to(echo)
    with _connect(proxy) as client:
        proxy.stall()
        client.sendall(b"never")
        time.sleep(0.1)
        proxy.cut()
        assert _is_dead(client)


def test_throttled_proxy_takes_its_time(echo: str, proxy_to: ProxyTo) -> None:
    proxy = proxy_to(echo)
    proxy.throttle(20_000)
    with _connect(proxy) as client:
        started = time.monotonic()
        client.sendall(bytes(4_000))
        received = 0
        while received < 4_000:
            received += len(client.recv(4_000))
        assert time.monotonic() - started >= 0.35  # 4,000 bytes each way at 20,000 a second


def test_proxy_stands_before_a_database(database_server: DatabaseServer, proxy_to: ProxyTo) -> None:
    proxy = proxy_to(database_server.address)
    with psycopg.connect(proxy.url(database_server.address)) as connection:
        proxy.cut()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")


def test_clients_of_a_proxied_broker_stay_behind_its_proxy(proxied_broker: ProxiedBroker) -> None:
    proxy = proxied_broker.proxy
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=proxy.address)) as admin:
        nodes = admin.describe_cluster()["brokers"]
    assert [f"{node['host']}:{node['port']}" for node in nodes] == [proxy.address]


@pytest.mark.browser
def test_page_has_the_asked_size_and_scheme(make_page: MakePage) -> None:
    page = make_page(390, 844, "dark")
    page.set_content("<p>hello</p>")
    assert page.evaluate("[innerWidth, innerHeight]") == [390, 844]
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is True


@pytest.mark.browser
def test_console_errors_and_uncaught_exceptions_are_gathered(
    make_page: MakePage, console_errors: list[str]
) -> None:
    page = make_page()
    page.set_content("<script>console.error('one'); throw new Error('two')</script>")
    assert console_errors == ["one", "two"]


def _connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 5)


def _is_dead(client: socket.socket) -> bool:
    try:
        return client.recv(100) == b""
    except ConnectionError:
        return True
