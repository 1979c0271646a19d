"""Show the fleet in a browser: live pages of facilities, racks, hosts, queues and the pipeline.

Reads the database and nothing else, and cannot write to it. The pages stay up while the database
is away and say how old their data is. Listens on loopback unless told otherwise.

    fleetgauge dashboard --database-url postgresql://fleetgauge@db/fleetgauge
    fleetgauge dashboard --listen-address 127.0.0.1:9000
"""

import argparse
import logging
import os
import socket
from contextlib import closing
from typing import cast

import uvicorn

from dashboard.server import build
from dashboard.settings import DashboardSettings
from telemetry import logs, settings
from telemetry.errors import PermanentError

log = logging.getLogger(__name__)

SOCKET_MESSAGE_BYTES_MAX = 8192


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this subcommand."""
    settings.add_flags(parser, DashboardSettings)


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    chosen = settings.load(DashboardSettings, arguments, os.environ)
    logs.configure("dashboard", cast(logs.Level, chosen.log_level))
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # the broadcaster says it once
    with closing(bind(chosen)) as listener:
        host, port = listener.getsockname()[:2]
        log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        uvicorn.Server(web_server(chosen)).run([listener])
    return 0


def web_server(chosen: DashboardSettings) -> uvicorn.Config:
    """Return the web server's own settings around the application."""
    return uvicorn.Config(
        build(chosen),
        log_config=None,
        access_log=False,
        log_level="warning",
        lifespan="on",
        server_header=False,
        # Who is at the other end is read from the connection, never from a header.
        proxy_headers=False,
        ws="websockets-sansio",
        ws_max_size=SOCKET_MESSAGE_BYTES_MAX,
        # Deflating each viewer's copy of a frame costs more than the network it saves.
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=30,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=16 << 10,
    )


def bind(chosen: DashboardSettings) -> socket.socket:
    """Bind before anything starts, so that a port in use is said plainly.

    Raises:
        PermanentError: the address cannot be had.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            chosen.host, chosen.port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise PermanentError(f"cannot listen on {chosen.listen_address}: {error}") from error
    return listener
