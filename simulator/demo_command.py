"""Run everything on this machine, with facilities to look at; needs no Docker, database or GPU.

Starts an embedded PostgreSQL and an embedded Kafka-protocol broker, brings the schema up to date,
and runs collector, alerts and dashboard, two simulated facilities of 32 hosts with 8 GPUs, and,
where the recorded data is found, a third whose load and queue were recorded in production.

    fleetgauge demo
    fleetgauge demo --port 9000 --data /tmp/demo

It prints the address of the pages as soon as they are live. What was stored is kept in the data
folder, with the programs' logs; Ctrl-C ends everything and leaves no process behind.
"""

import argparse
import logging
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from msgspec import Meta

from simulator.demo import Demo
from simulator.services.place import free_port
from telemetry import logs, settings
from telemetry.clock import SystemClock
from telemetry.errors import ConfigError
from telemetry.settings import LogSettings
from telemetry.stop import StopSignal


@dataclass(frozen=True, kw_only=True)
class DemoSettings(LogSettings):
    """What the demo may be told."""

    port: Annotated[
        int, Meta(ge=0, le=65_535, description="port of the pages on this machine; 0: a free one")
    ] = 8050
    data: Annotated[
        str, Meta(min_length=1, description="folder of database and logs, kept between runs")
    ] = ".demo"
    recording: Annotated[
        str, Meta(description="folder of a recorded cluster to show as the third facility")
    ] = "../shared/data/gentd26"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one flag a setting."""
    settings.add_flags(parser, DemoSettings)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo until told to stop."""
    chosen = settings.load(DemoSettings, arguments, os.environ)
    logs.configure("demo", cast(logs.Level, chosen.log_level))
    if chosen.log_level == "info":
        # What is applied to a new database is the business of its own programs' logs.
        logging.getLogger("collector").setLevel(logging.WARNING)
    port = chosen.port or free_port()
    _check_free(port)
    stop = StopSignal()
    stop.install()
    data, recording = Path(chosen.data).resolve(), Path(chosen.recording).resolve()
    Demo(data, port, recording, SystemClock(), _say).run(stop)
    return 0


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError([f"--port:port: {port}: {error.strerror}"]) from error


def _say(text: str) -> None:
    sys.stdout.write(f"demo: {text}\n")
    sys.stdout.flush()
