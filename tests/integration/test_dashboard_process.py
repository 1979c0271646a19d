"""The dashboard as a process: killed, hung, and watched by whoever started it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.services.place import free_port
from tests.fix_live import ask_live, live_line

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 120
RUN = [sys.executable, "-m", "fleetgauge", "dashboard"]
# The program with one address that never lets go of the loop.
RUN_WITH_A_TRAP = [
    sys.executable,
    "-c",
    """
import sys, time
from fleetgauge import __main__ as program
from dashboard import command

build = command.build

def trapped(settings):
    app = build(settings)

    async def falls_into_the_trap(scope, receive, send):
        if scope["type"] == "http" and scope["path"] == "/trap":
            time.sleep(3600)
        await app(scope, receive, send)

    return falls_into_the_trap

command.build = trapped
sys.exit(program.main(["dashboard", *sys.argv[1:]]))
""",
]
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(port: int, tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[bytes]] = []

    def run(
        command: list[str], *words: str, url: str = "host=127.0.0.1 port=1", **environment: str
    ) -> subprocess.Popen[bytes]:
        log = (tmp_path / "log").open("wb")
        flags = ["--listen-address", f"127.0.0.1:{port}", "--database-url", url, *words]
        process = subprocess.Popen(
            [*command, *flags], cwd=ROOT, stdout=log, stderr=log, env=os.environ | environment
        )
        log.close()
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.wait(20)


def wait_until_it_serves(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE_S).raise_for_status()
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


def shown(port: int, searches: list[str]) -> list[str]:
    """What 50 pages are told they look at, each on a socket of its own that is open meanwhile."""
    views = []
    with contextlib.ExitStack() as opened:
        for search in searches:
            line = opened.enter_context(live_line(f"http://127.0.0.1:{port}"))
            ask_live(line, "/facility", search)
            message: dict[str, Any] = json.loads(line.recv(timeout=PATIENCE_S))
            views.append(message["view"])
    return views


def test_f37_after_a_kill_a_new_one_serves_every_page_from_its_address(
    start: Start, port: int
) -> None:
    searches = [f"?facility=site-{n}&range=6h" for n in range(50)]
    first = start(RUN)
    wait_until_it_serves(port)
    before = shown(port, searches)
    first.kill()
    assert first.wait(20) == -signal.SIGKILL
    start(RUN)
    wait_until_it_serves(port)
    assert shown(port, searches) == before
    assert before == [f"/facility{search}" for search in searches]


def test_f37_one_that_hangs_says_where_and_ends_and_systemd_had_a_word_as_long_as_it_did_not(
    start: Start, port: int, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE_S)
        process = start(
            RUN_WITH_A_TRAP, "--hang-s-max", "3", NOTIFY_SOCKET=str(tmp_path / "notify")
        )
        wait_until_it_serves(port)
        assert systemd.recv(100) == b"READY=1\nWATCHDOG=1"
        assert systemd.recv(100) == b"WATCHDOG=1"
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/trap", timeout=PATIENCE_S)
        assert process.wait(PATIENCE_S) == 1
    assert "in falls_into_the_trap" in (tmp_path / "log").read_text()
