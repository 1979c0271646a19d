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
from collections.abc import Mapping
from contextlib import closing
from typing import cast

import uvicorn

from dashboard.access.settings import is_loopback
from dashboard.connections import LiveConnection, allow_files, connections, end_when_untaken
from dashboard.server import build
from dashboard.settings import DashboardSettings
from dashboard.watchdog import Watchdog
from telemetry import logs, settings
from telemetry.errors import ConfigError, PermanentError

log = logging.getLogger(__name__)

SOCKET_MESSAGE_BYTES_MAX = 8192
# What makes Dash, or Python, show its inside or offer more than pages.
DEBUGGING = (
    "DASH_DEBUG", "DASH_UI", "DASH_HOT_RELOAD", "DASH_SERVE_DEV_BUNDLES", "DASH_MCP_ENABLED",
    "FLASK_DEBUG", "PYTHONASYNCIODEBUG",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this subcommand."""
    settings.add_flags(parser, DashboardSettings)


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    chosen = settings.load(DashboardSettings, arguments, os.environ)
    refuse_debugging(chosen, os.environ)
    logs.configure("dashboard", cast(logs.Level, chosen.log_level))
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # the broadcaster says it once
    with closing(bind(chosen)) as listener:
        host, port = listener.getsockname()[:2]
        log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        watchdog = Watchdog(chosen.hang_s_max)
        watchdog.start()
        try:
            uvicorn.Server(web_server(chosen, watchdog)).run([listener])
        finally:
            watchdog.stop()
    return 0


def refuse_debugging(chosen: DashboardSettings, environment: Mapping[str, str]) -> None:
    """Refuse switches for debugging where others than this machine's people can look.

    Raises:
        ConfigError: one is on, and the address is not loopback.
    """
    off = {"", "0", "false", "no", "off"}
    found = [
        name
        for name in DEBUGGING
        if {environment.get(each, "").lower() for each in (name, name.lower())} - off
    ]
    if found and not is_loopback(chosen.host):
        raise ConfigError([f"{name}: debugging is for loopback only: unset it" for name in found])


def web_server(chosen: DashboardSettings, watchdog: Watchdog | None = None) -> uvicorn.Config:
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
        http=connections(allow_files(chosen.connections_max)),
        ws=LiveConnection,
        ws_max_size=SOCKET_MESSAGE_BYTES_MAX,
        # Deflating each viewer's copy of a frame costs more than the network it saves.
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=30,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=3,
        callback_notify=None if watchdog is None else watchdog.beat,
        timeout_notify=1,
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
        end_when_untaken(listener)
        listener.bind(address)
    except OSError as error:
        raise PermanentError(f"cannot listen on {chosen.listen_address}: {error}") from error
    return listener
