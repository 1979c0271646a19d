"""Feeding a peer at a steady rate, or as fast as it takes what it is given.

Owns the pace: requests are made when they are due, by a few threads with a connection each, and a
thread that waits for its answer is all that holds the sender back.
"""

import threading
import time

from benchmarks.peers.remote_write import RemoteWriteHosts
from benchmarks.peers.servers import PeerServer
from benchmarks.progress import Progress

# A request of 20,480 values; peers' own senders use 2,000 to 10,000.
MESSAGES_PER_REQUEST = 8
THREADS = 4
SAY_EVERY_S = 5.0


def feed(
    server: PeerServer,
    source: RemoteWriteHosts,
    messages: int,
    per_second: float,
    progress: Progress,
    words: str,
) -> float:
    """Send so many messages; return the seconds until the last was taken.

    Raises:
        PermanentError: the peer refused some.
    """
    line = _Line(source, messages, per_second)
    failures: list[BaseException] = []

    def send() -> None:
        connection = server.connect()
        try:
            while (body := line.next()) is not None and not failures:
                server.write(connection, body)
        except BaseException as error:  # noqa: BLE001 - told by who started the thread
            failures.append(error)
        finally:
            connection.close()

    start_s = said_s = time.monotonic()
    threads = [threading.Thread(target=send, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        threads[-1].join(0.2)
        if time.monotonic() - said_s > SAY_EVERY_S:
            said_s = time.monotonic()
            progress.say(f"{words}, {100 * line.taken // messages} %")
    if failures:
        raise failures[0]
    return time.monotonic() - start_s


class _Line:
    """The requests in their order, each given out when it is due."""

    def __init__(self, source: RemoteWriteHosts, messages: int, per_second: float) -> None:
        self._source = source
        self._messages = messages
        self._per_second = per_second
        self._start_s = time.monotonic()
        self._lock = threading.Lock()
        self.taken = 0

    def next(self) -> bytes | None:
        """Wait until a request is due and return it; None after the last."""
        with self._lock:
            count = min(MESSAGES_PER_REQUEST, self._messages - self.taken)
            if count <= 0:
                return None
            self.taken += count
            wait_s = self._start_s + self.taken / self._per_second - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            return self._source.request(count)
