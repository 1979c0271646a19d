"""A TCP proxy in front of a service, to cut, stall, delay or throttle its connections on demand.

`proxy_to(address)` puts one before any `host:port` or database URL. A Kafka client goes on with the
address that the broker advertises, so `proxied_broker` is a broker that advertises its proxy.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from simulator.services import Service
from simulator.services.broker import Broker
from simulator.services.kafka import Kafka
from simulator.services.place import free_port
from tests.fix_services import BROKERS

CHUNK_BYTES = 16 * 1024
POLL_S = 0.02
ANSWER_WAIT_S = 10.0


@dataclass(slots=True)
class _Trap:
    """Waits for a word from a client; see `Proxy.cut_at`."""

    word: bytes
    passes: bool
    act: Callable[[], None]


@dataclass(slots=True)
class _Pair:
    """One connection of a client and its continuation to the service."""

    client: socket.socket
    server: socket.socket
    trapped: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Passes bytes both ways between its own port and an upstream `host:port`.

    Every change takes effect at once, on open connections too; the port stays the same.
    """

    def __init__(self, upstream: str = "") -> None:
        self.upstream = upstream
        self.port = free_port()
        self._bytes_per_s: float | None = None
        self._delay_s = 0.0
        self._trap: _Trap | None = None
        self._flowing = threading.Event()
        self._flowing.set()
        self._answering = threading.Event()
        self._answering.set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.heal()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, database_url: str) -> str:
        """The database URL with this proxy's port in it."""
        parts = urlsplit(database_url)
        credentials, _, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{credentials}@{self.address}").geturl()

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections, self._connections = self._connections, set()
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            listener.close()
        for connection in connections:
            _reset(connection)

    def stall(self) -> None:
        """Keep connections open, accept new ones, and pass nothing on."""
        self._flowing.clear()

    def mute(self) -> None:
        """Pass requests on and hold the answers: the work is done, and nobody hears of it."""
        self._answering.clear()

    def throttle(self, bytes_per_s: float) -> None:
        """Let each direction of each connection pass this much."""
        self._bytes_per_s = bytes_per_s

    def delay(self, seconds: float) -> None:
        """Hold each piece back for so long, in both directions."""
        self._delay_s = seconds

    def cut_at(self, word: bytes, *, passes: bool, act: Callable[[], None] = lambda: None) -> None:
        """Reset the connection on which a client next sends `word`.

        If it passes, the service has done what it was told and its answer is held back; if not, the
        service never hears of it. `act` is called in between: the service has answered, and the
        client waits for that. Once; `heal` takes it away.
        """
        self._trap = _Trap(word, passes, act)

    @property
    def is_trap_set(self) -> bool:
        """Whether `cut_at` still waits for its word."""
        return self._trap is not None

    def heal(self) -> None:
        """Pass everything on again, and accept connections."""
        self._bytes_per_s = None
        self._delay_s = 0.0
        self._trap = None
        self._flowing.set()
        self._answering.set()
        if self._listener is None:
            listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
            self._listener = listener
            self._start(self._accept, listener)

    def close(self) -> None:
        """Cut, and wait for every thread."""
        self.cut()
        for thread in self._threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in self._threads)

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            host, _, port = self.upstream.rpartition(":")
            try:
                server = socket.create_connection((host, int(port)), 5)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            with self._lock:
                is_open = self._listener is listener
                if is_open:
                    self._connections |= {client, server}
            if not is_open:
                _reset(client)
                _reset(server)
                return
            pair = _Pair(client, server)
            self._start(self._pump_requests, pair)
            self._start(self._pump_answers, pair)

    def _pump_requests(self, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            for data in self._pieces(pair.client, (self._flowing,)):
                trap = self._take_trap(data)
                if trap is None:
                    pair.server.sendall(data)
                    continue
                if trap.passes:
                    pair.trapped.set()
                    pair.server.sendall(data)
                    pair.answered.wait(ANSWER_WAIT_S)
                trap.act()
                _reset(pair.client)
                _reset(pair.server)
                break
        self._end(pair)

    def _pump_answers(self, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            for data in self._pieces(pair.server, (self._flowing, self._answering)):
                if pair.trapped.is_set():
                    pair.answered.set()
                else:
                    pair.client.sendall(data)
        self._end(pair)

    def _pieces(self, source: socket.socket, gates: tuple[threading.Event, ...]) -> Iterator[bytes]:
        while data := source.recv(CHUNK_BYTES):
            for gate in gates:
                while not gate.wait(POLL_S):
                    if source.fileno() < 0:
                        return
            if self._delay_s:
                time.sleep(self._delay_s)
            if self._bytes_per_s is not None:
                time.sleep(len(data) / self._bytes_per_s)
            yield data

    def _take_trap(self, data: bytes) -> _Trap | None:
        if self._trap is None:
            return None
        with self._lock:
            if self._trap is None or self._trap.word not in data:
                return None
            trap, self._trap = self._trap, None
            return trap

    def _end(self, pair: _Pair) -> None:
        with self._lock:
            mine = {pair.client, pair.server} & self._connections
            self._connections -= mine
        for connection in mine:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # wakes the other direction
            connection.close()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()


@dataclass(frozen=True, slots=True)
class ProxiedBroker:
    """A broker whose clients all pass through the proxy; bootstrap from `proxy.address`."""

    service: Service
    proxy: Proxy


@pytest.fixture
def proxy_to() -> Iterator[Callable[[str], Proxy]]:
    made: list[Proxy] = []

    def make(address: str) -> Proxy:
        made.append(Proxy(address.rpartition("@")[2].partition("/")[0]))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


@pytest.fixture(params=list(BROKERS))
def proxied_broker(request: pytest.FixtureRequest) -> Iterator[ProxiedBroker]:
    proxy = Proxy()
    service: Service = (
        Kafka(advertised=proxy.address)
        if request.param == "kafka"
        else Broker(advertised=proxy.address)
    )
    proxy.upstream = service.address
    with service, contextlib.closing(proxy):
        yield ProxiedBroker(service, proxy)


def _reset(connection: socket.socket) -> None:
    """Close with a reset instead of a farewell, as a lost host would look; wakes blocked calls."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
