"""Host health out of fixture trees of /proc and /sys."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.host import procfs
from agent.host.clock_sync import ClockSync
from agent.host.health import HostHealth, HostSettings
from agent.host.network import parse_interfaces, read_ports
from telemetry.records import EventKind

PROC = {
    "stat": "cpu  1000 10 500 8000 400 5 15 70 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\nprocs_blocked 2\n",
    "meminfo": "MemTotal:       2097152 kB\nMemAvailable:    1048576 kB\nHugePages_Total:  0\n"
    "SwapTotal:             0 kB\nSwapFree:              0 kB\n",
    "vmstat": "nr_free_pages 1\noom_kill 3\n",
    "loadavg": "12.34 5.0 1.0 1/200 4242\n",
    "uptime": "3600.55 7000.00\n",
    "net/dev": "Inter-|   Receive\n face |bytes\n"
    "    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n"
    "  eth0: 100 1 2 3 0 0 0 0 200 1 4 5 0 0 0 0\n"
    "  eth1: 1000 1 0 0 0 0 0 0 2000 1 0 0 0 0 0 0\n",
    "1/stat": "1 (init) S 0 1",
    "20/stat": "20 (a) D (evil) D 1 20",
    "21/stat": "21 (b) R 1 21",
}
SYS = {
    "class/net/eth0/operstate": "up\n",
    "class/net/eth0/device/vendor": "0x15b3\n",
    "class/net/eth1/operstate": "down\n",
    "class/net/eth1/device/vendor": "0x15b3\n",
    "class/net/lo/operstate": "unknown\n",
}


def port_files(adapter: str, state: str, link_downed: int) -> dict[str, str]:
    base = f"class/infiniband/{adapter}/ports/1"
    return {
        f"{base}/state": f"{state}\n",
        f"{base}/rate": "400 Gb/sec (4X NDR)\n",
        f"{base}/link_layer": "InfiniBand\n",
        f"{base}/counters/port_rcv_data": "1000\n",
        f"{base}/counters/link_downed": f"{link_downed}\n",
        f"{base}/counters/symbol_error": "not a number\n",
    }


def plant(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def make_health(root: Path) -> HostHealth:
    settings = HostSettings(proc_path=str(root / "proc"), sys_path=str(root / "sys"))
    sync = ClockSync(synchronised=True, error_max_us=1500, error_estimated_us=10)
    return HostHealth(settings, root, lambda: sync)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    plant(tmp_path / "proc", PROC)
    plant(tmp_path / "sys", SYS)
    plant(tmp_path / "sys", port_files("mlx5_0", "4: ACTIVE", 1))
    plant(tmp_path / "sys", port_files("mlx5_1", "1: DOWN", 2))
    return tmp_path


def test_a_whole_host_is_one_flat_table(tree: Path) -> None:
    found = make_health(tree).read()
    scale = 1000 // os.sysconf("SC_CLK_TCK")
    disk = {name: found.pop(name) for name in list(found) if name.startswith("disk_")}
    assert disk.keys() == {
        "disk_total_mebibytes",
        "disk_available_mebibytes",
        "disk_files_available_count",
        "disk_read_only_flag",
    }
    assert found == {
        "cpu_total_milliseconds": 10_000 * scale,
        "cpu_busy_milliseconds": 1600 * scale,
        "cpu_io_wait_milliseconds": 400 * scale,
        "cpu_steal_milliseconds": 70 * scale,
        "memory_total_mebibytes": 2048,
        "memory_available_mebibytes": 1024,
        "swap_total_mebibytes": 0,
        "swap_free_mebibytes": 0,
        "out_of_memory_kills_count": 3,
        "load_1_minute_thousandths": 12_340,
        "uptime_seconds": 3600,
        "processes_count": 3,
        "processes_uninterruptible_count": 1,
        "network_receive_bytes": 1100,
        "network_receive_errors_count": 2,
        "network_receive_drops_count": 3,
        "network_transmit_bytes": 2200,
        "network_transmit_errors_count": 4,
        "network_transmit_drops_count": 5,
        "network_links_count": 2,
        "network_links_up_count": 1,
        "infiniband_ports_count": 2,
        "infiniband_ports_active_count": 1,
        "infiniband_receive_bytes": 8000,
        "infiniband_link_downed_count": 3,
        "clock_synchronised_flag": 1,
        "clock_error_max_microseconds": 1500,
    }


def test_what_a_host_does_not_have_is_left_out_and_not_zero(tmp_path: Path) -> None:
    found = make_health(tmp_path).read()
    assert {name.partition("_")[0] for name in found} == {"disk", "clock"}


def test_a_clock_that_may_not_be_asked_is_left_out(tree: Path) -> None:
    def refuse() -> ClockSync:
        raise PermissionError(1, "Operation not permitted")

    settings = HostSettings(proc_path=str(tree / "proc"), sys_path=str(tree / "sys"))
    found = HostHealth(settings, tree, refuse).read()
    assert not any(name.startswith("clock") for name in found)


def test_ports_are_told_apart(tree: Path) -> None:
    up, down = read_ports(tree / "sys")
    assert (up.name, up.active, up.link_layer) == ("mlx5_0/1", True, "InfiniBand")
    assert up.rate_gigabits_per_second == 400
    assert (down.name, down.active) == ("mlx5_1/1", False)


def test_a_port_is_told_when_it_goes_down_and_when_it_is_back(tree: Path) -> None:
    health = make_health(tree)
    assert [(port.name, up) for port, up in health.changed_ports()] == [("mlx5_1/1", False)]
    assert health.changed_ports() == []
    plant(tree / "sys", port_files("mlx5_0", "1: DOWN", 2))
    plant(tree / "sys", port_files("mlx5_1", "4: ACTIVE", 2))
    changes = {(port.name, up) for port, up in health.changed_ports()}
    assert changes == {("mlx5_0/1", False), ("mlx5_1/1", True)}


def test_a_port_that_goes_down_is_an_event_with_its_name_and_rate(tree: Path) -> None:
    health = make_health(tree)
    [first] = health.port_events(1)
    assert (first.kind, first.detail["port"]) == (EventKind.PORT_DOWN, "mlx5_1/1")
    state = tree / "sys/class/infiniband/mlx5_0/ports/1/state"
    state.write_text("1: DOWN\n")
    [down] = health.port_events(2)
    assert (down.kind, down.time_us) == (EventKind.PORT_DOWN, 2)
    assert "mlx5_0/1" in down.message
    assert down.detail["rate_gigabits_per_second"] == 400
    assert health.port_events(3) == []
    state.write_text("4: ACTIVE\n")
    assert [event.kind for event in health.port_events(4)] == [EventKind.PORT_UP]


def test_an_adapter_that_is_gone_is_told_once(tree: Path) -> None:
    health = make_health(tree)
    health.changed_ports()
    (tree / "sys/class/infiniband/mlx5_0").rename(tree / "gone")
    assert [(port.name, up) for port, up in health.changed_ports()] == [("mlx5_0/1", False)]
    assert health.changed_ports() == []
    (tree / "gone").rename(tree / "sys/class/infiniband/mlx5_0")
    assert [(port.name, up) for port, up in health.changed_ports()] == [("mlx5_0/1", True)]


PARSERS = [
    lambda text: procfs.parse_cpu(text, 100),
    procfs.parse_memory,
    procfs.parse_out_of_memory,
    procfs.parse_load,
    procfs.parse_uptime,
    lambda text: parse_interfaces(text, frozenset({"eth0"})),
]


@given(st.sampled_from(PARSERS), st.sampled_from(sorted(PROC.values())), st.data())
def test_no_text_upsets_a_parser(parser: object, text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    spoilt = text[:at] + data.draw(st.text(max_size=10)) + text[at:]
    found = parser(spoilt)  # type: ignore[operator]
    assert all(value >= 0 for value in found.values())


@given(st.binary(max_size=80))
def test_no_process_name_upsets_the_count(raw: bytes) -> None:
    assert isinstance(procfs.parse_state(raw), str)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="this is no Linux")
def test_this_machine_gives_plausible_values(tmp_path: Path) -> None:
    found = HostHealth(HostSettings(), tmp_path).read()
    assert found["cpu_busy_milliseconds"] <= found["cpu_total_milliseconds"]
    assert 0 < found["memory_available_mebibytes"] <= found["memory_total_mebibytes"]
    assert found["processes_count"] > 0
    assert len(found) < 40


def test_processes_are_counted_in_each_other_reading_and_told_in_each(tree: Path) -> None:
    health = make_health(tree)
    assert health.read()["processes_count"] == 3
    plant(tree / "proc", {"99/stat": "99 (new) D 1"})
    assert [health.read()["processes_count"] for _ in range(3)] == [3, 4, 4]
