"""`fleetgauge demo`: live pages, an end without leftovers, and data that is kept."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

LIVE_S = 90.0
RECORDING = Path(__file__).parents[1] / "data" / "replay" / "gentd26"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def command(folder: Path, port: int = 0) -> list[str]:
    words = ["--port", str(port), "--data", str(folder / "data"), "--recording", str(RECORDING)]
    return [sys.executable, "-m", "fleetgauge", "demo", *words]


def refused(folder: Path, port: int = 0) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(folder, port), capture_output=True, text=True, timeout=60, check=False
    )


class Running:
    """A demo that runs, and what it has said so far."""

    def __init__(self, process: "subprocess.Popen[str]", output: Path) -> None:
        self.process = process
        self._output = output

    @property
    def text(self) -> str:
        return self._output.read_text()

    def wait_for(self, pattern: str) -> "re.Match[str]":
        deadline = time.monotonic() + LIVE_S
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.text):
                return found
            assert self.process.poll() is None, self.text
            time.sleep(0.1)
        pytest.fail(f"nothing like {pattern!r} in:\n{self.text}")

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word: str) -> psutil.Process:
        return next(p for p in self.family() if word in p.cmdline())

    def database_url(self) -> str:
        return self.child("collector").environ()["FLEETGAUGE_DATABASE_URL"]


@contextmanager
def demo(folder: Path) -> Iterator[Running]:
    output = folder / "said.txt"
    with output.open("w") as stream:
        process = subprocess.Popen(
            command(folder),
            stdout=stream,
            stderr=subprocess.STDOUT,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
        )
    try:
        yield Running(process, output)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def alive(family: list[psutil.Process]) -> list[psutil.Process]:
    gone_by = time.monotonic() + 15
    left = family
    while left and time.monotonic() < gone_by:
        left = [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        time.sleep(0.1)
    return left


def test_the_demo_is_live_ends_clean_and_keeps_its_data(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        address = running.wait_for(r"(http://127\.0\.0\.1:\d+) is live")[1]
        running.wait_for("all facilities are live")
        for path in ("/", "/pipeline", "/facility?facility=aurora"):
            with urllib.request.urlopen(address + path, timeout=10) as answer:
                assert answer.status == 200
        with psycopg.connect(running.database_url()) as connection:
            live = connection.execute(
                "select f.facility, f.provider, count(*) from facilities f "
                "join hosts using (facility_id) join host_state using (host_id) group by 1, 2"
            ).fetchall()
            stored = connection.execute("select count(*) from samples").fetchone()
        found = {facility: hosts for facility, _, hosts in live}
        assert found.keys() == {"aurora", "basalt", "serving"}
        assert found["aurora"] == found["basalt"] == 32
        assert all(provider for _, provider, _ in live)
        family = running.family()
        assert len(family) > 6
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0, running.text
    assert alive(family) == []

    with demo(tmp_path) as running:
        running.wait_for("all facilities are live")
        with psycopg.connect(running.database_url()) as connection:
            kept = connection.execute("select count(*) from samples").fetchone()
        assert stored is not None
        assert kept is not None
        assert kept[0] > stored[0] > 0


def test_a_program_that_dies_is_said_and_started_again(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.wait_for("all facilities are live")
        victim = running.child("collector")
        victim.kill()
        running.wait_for("collector has ended; it is started again")
        running.wait_for("collector is running again")
        assert running.child("collector").pid != victim.pid


def test_killing_the_demo_itself_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.wait_for("all facilities are live")
        family = running.family()
        running.process.kill()
        running.process.wait(10)
        assert alive(family) == []


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.wait_for("schema ready")
        other = refused(tmp_path)
    assert other.returncode == 2
    assert "another demo uses this folder" in other.stderr


def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = refused(tmp_path, port)
    assert ended.returncode == 2
    assert f"--port:port: {port}" in ended.stderr
    assert not (tmp_path / "data").exists()
