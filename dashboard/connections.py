"""What a connection may cost: how many there are, how long a head takes, how long a reader.

Owns the bounds below HTTP, which the web server does not have and `guard.py` cannot see: a client
that never finishes its head has asked for nothing yet, and one that reads nothing holds its answer
long after that was given. Both are cut off; where there are as many connections as there may be,
the one that has waited longest without a request goes, so that those who only wait shut nobody out.
"""

import asyncio
import contextlib
import logging
import resource
import socket
import struct
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

log = logging.getLogger(__name__)

# From the first byte of a request, or from the connection, to the end of its head.
HEAD_S_MAX = 10.0
# Cookies of a login and a long address are 2 KB.
HEAD_BYTES_MAX = 32 << 10
# So long the other side may take nothing, or less than what is kept in memory for it (64 KB).
UNTAKEN_S_MAX = 20.0
# Files of the process that are no connection of a browser.
FILES_SPARED = 128

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class _CutOff:
    """Ends a connection whose other side does not take what it is sent."""

    transport: Any
    loop: asyncio.AbstractEventLoop
    _untaken: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Begin to wait: memory for this connection is full."""
        super().pause_writing()  # type: ignore[misc]
        if self._untaken is None:
            self._untaken = self.loop.call_later(UNTAKEN_S_MAX, self._cut_off)

    def resume_writing(self) -> None:
        """End the wait."""
        self._taken()
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the wait."""
        self._taken()
        super().connection_lost(error)  # type: ignore[misc]

    def _cut_off(self) -> None:
        # Without this the kernel would go on holding what nobody takes.
        line = self.transport.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _taken(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None


class LiveConnection(_CutOff, WebSocketsSansIOProtocol):
    """A socket of a page."""


class WebConnection(_CutOff, HttpToolsProtocol):
    """A connection that asks for pages, files and callbacks, one after the other."""

    connections_max = 0
    _head: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_in_head = True
    _answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head, in the place of another where all are taken."""
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > self.connections_max:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is a head without end."""
        if not self._is_in_head and (self.cycle is None or self.cycle.response_complete):
            # What follows an answer: the next request, or the rest of a body nobody waits for.
            self._await_head()
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._head_bytes > HEAD_BYTES_MAX:
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Note that a request is there."""
        self._end_head()
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the wait, and tell what is being answered that nobody waits for it."""
        self._end_head()
        super().connection_lost(error)
        # The web server tells the newest request only, which another one may stand before.
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked of us on this connection now."""
        return self.cycle is None or self.cycle.response_complete

    def head_due_s(self) -> float:
        """When its head must be whole, by the loop's clock; infinity where none has begun."""
        return float("inf") if self._head is None else self._head.when()

    def _await_head(self) -> None:
        self._end_head()
        self._is_in_head, self._head_bytes = True, 0
        self._head = self.loop.call_later(HEAD_S_MAX, self.transport.abort)

    def _end_head(self) -> None:
        self._is_in_head = False
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _make_room(self) -> None:
        waiting = [
            each for each in self.connections if isinstance(each, WebConnection) and each.is_idle
        ]
        # Those in their head first, by when that began; then those between two requests.
        min(waiting, key=WebConnection.head_due_s).transport.abort()


def connections(connections_max: int) -> type[WebConnection]:
    """Return the kind of connection of which there are at most so many."""
    return type("WebConnection", (WebConnection,), {"connections_max": connections_max})


def allow_files(connections_max: int) -> int:
    """Let the process have that many connections; return how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections_max + FILES_SPARED
    if soft != resource.RLIM_INFINITY and soft < wanted:
        more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    if soft != resource.RLIM_INFINITY and soft < wanted:
        log.warning("this process may have %d files: fewer connections are taken", soft)
        return max(16, soft - FILES_SPARED)
    return connections_max


def end_when_untaken(listener: socket.socket) -> None:
    """Have the kernel end connections of this listener whose other side takes nothing.

    It sees what the process cannot: what was handed over to be sent, also after the last close.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = round(UNTAKEN_S_MAX * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
