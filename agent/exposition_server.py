"""Prometheus text over HTTP: one path, off unless configured, on loopback unless told otherwise.

Owns the socket and its bounds. It reads nothing but what the agent has noted, so a scrape never
touches the driver, however often it comes.
"""

import ipaddress
import logging
import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from telemetry.errors import ConfigError

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUESTS_AT_ONCE_MAX = 4
REQUEST_TIMEOUT_S = 5.0
LOOPBACK = "127.0.0.1"


class ExpositionServer:
    """Serves what `render` returns at /metrics, on threads of its own, until it is closed.

    Raises:
        ConfigError: the address cannot be listened on.
    """

    def __init__(self, listen: str, render: Callable[[], str]) -> None:
        host, _, port = listen.rpartition(":")
        try:
            address = ipaddress.ip_address(host.strip("[]") or LOOPBACK)
            self._server = _Server((str(address), int(port)), render, address.version)
        except (OSError, OverflowError, ValueError) as error:
            problem = f"settings:prometheus_listen: cannot listen on {listen}: {error}"
            raise ConfigError([problem]) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="prometheus", daemon=True
        )
        self._thread.start()
        if not address.is_loopback:
            log.warning("serving Prometheus text on %s, to whoever reaches it", listen)

    @property
    def port(self) -> int:
        """The port in use, which is another one where port 0 was asked for."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], render: Callable[[], str], version: int) -> None:
        self.address_family = socket.AF_INET6 if version == 6 else socket.AF_INET
        self.render = render
        self._free = threading.BoundedSemaphore(REQUESTS_AT_ONCE_MAX)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a thread; hang up at once when too many are busy."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - inherited
        """A client that goes away in the middle is no news."""
        log.debug("a request from %s failed: %r", client_address, sys.exception())


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "fleetgauge"
    sys_version = ""
    timeout = REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        """Answer /metrics, and nothing else."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body = self.server.render().encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the library's own name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's own name
        """A scrape is no news."""
        log.debug(format, *args)
