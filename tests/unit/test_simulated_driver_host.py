import subprocess
import sys
from pathlib import Path

import pytest

from simulator.nvml.host import make_driver, schedule_file
from telemetry.errors import ConfigError
from tests.fix_accelerators import MakeHost, ManualClock


@pytest.mark.parametrize(
    ("boards", "model", "count"),
    [
        ("h100", "NVIDIA H100 80GB HBM3", 8),
        ("h200x4", "NVIDIA H200", 4),
        ("b200x16", "NVIDIA B200", 16),
    ],
)
def test_boards_are_named_in_few_words(
    boards: str, model: str, count: int, manual_clock: ManualClock
) -> None:
    driver = make_driver(boards, manual_clock, host="a")
    assert [gpu.profile.name for gpu in driver.gpus] == [model] * count


@pytest.mark.parametrize(
    "boards", ["", "x8", "h100x0", "h100x17", "h100x", "H100", "v100", "8xh100"]
)
def test_boards_that_are_not_there_are_a_configuration_error(
    boards: str, manual_clock: ManualClock
) -> None:
    with pytest.raises(ConfigError, match="the boards are a100, b200, gb200, h100, h200"):
        make_driver(boards, manual_clock, host="a")


def test_a_host_keeps_its_boards_and_shares_them_with_no_other(manual_clock: ManualClock) -> None:
    first, again, other = (
        {gpu.identity.uuid for gpu in make_driver("h100", manual_clock, host=host).gpus}
        for host in ("a", "a", "b")
    )
    assert first == again
    assert len(first | other) == 16


def test_hosts_with_the_same_letters_do_not_run_the_same_jobs(manual_clock: ManualClock) -> None:
    loads = {
        make_driver("h100", manual_clock, host=host).load.load(0, 1000.0).intensity
        for host in ("n12", "n21", "n30")
    }
    assert len(loads) == 3


def test_a_scenario_file_is_put_on_the_schedule(
    make_gpu_host: MakeHost, manual_clock: ManualClock, tmp_path: Path
) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text('[[faults]]\nat_s = 5\nkind = "lost"\ngpu = 2\n')
    driver = make_gpu_host()
    schedule_file(driver, path)
    manual_clock.pass_s(6)
    with driver.lock:
        driver.apply_schedule()
    assert [gpu.slot for gpu in driver.gpus if gpu.lost] == [2]


@pytest.mark.parametrize(
    "content",
    [
        "[[faults]]\nat_s = 5\nkind = 'lost'\ngpu = 9\n",
        "[[faults]]\nat_s = -1\nkind = 'lost'\n",
        "faults = 3",
        "not toml",
        "other = 1",
    ],
)
def test_a_wrong_scenario_file_is_a_configuration_error(
    make_gpu_host: MakeHost, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"scenario\.toml"):
        schedule_file(make_gpu_host(), path)


def test_a_scenario_file_that_is_not_there_is_a_configuration_error(
    make_gpu_host: MakeHost, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        schedule_file(make_gpu_host(), tmp_path / "none.toml")


def test_the_simulated_driver_needs_nothing_but_what_an_agent_has() -> None:
    code = (
        "import sys, simulator.nvml.host, simulator.nvml.install, agent.accelerators.nvidia;"
        "foreign = {'numpy', 'psycopg', 'dash', 'httpx', 'kafka'} & set(sys.modules);"
        "sys.exit(f'imports {foreign}' if foreign else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
