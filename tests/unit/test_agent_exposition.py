"""Prometheus text: names, units, labels, what is absent, and the server around it."""

import http.client
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.accelerators import AcceleratorReading
from agent.exposition import EXPOSED, Exposition, escape_label
from agent.exposition_server import ExpositionServer
from telemetry.catalogue import CATALOGUE
from telemetry.errors import ConfigError
from telemetry.metrics import Group
from telemetry.records import Accelerator, Event, EventKind, Heartbeat, Inventory, ReaderStatus

UUIDS = [bytes([n]) * 16 for n in (1, 2)]
SERIES = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)')


def inventory() -> Inventory:
    return Inventory(
        time_us=1,
        driver_version="590.48.01",
        accelerators=tuple(
            Accelerator(
                uuid=uuid,
                index=index,
                model='NVIDIA "H100"\\80GB\nHBM3',
                pci_address=f"00000000:0{index}:00.0",
                memory_total_mebibytes=81_559,
            )
            for index, uuid in enumerate(UUIDS)
        ),
    )


def reading(index: int = 0, **values: int) -> AcceleratorReading:
    return AcceleratorReading(UUIDS[index], ReaderStatus.WHOLE, values)


def exposition(*readings: AcceleratorReading, group: Group = Group.FAST) -> Exposition:
    made = Exposition("host-1", {Group.FAST: 1.0, Group.SLOW: 60.0})
    made.note_inventory(inventory())
    made.note_readings(group, readings, 100.0)
    return made


def series(text: str, name: str) -> dict[str, float]:
    """Value by GPU index, or by nothing for a series without one."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        match = SERIES.fullmatch(line)
        if match and match[1] == name:
            gpu = re.search(r'gpu="(\d+)"', match[2] or "")
            found[gpu[1] if gpu else ""] = float(match[3])
    return found


def whole() -> Exposition:
    """Every metric of the catalogue at a valid value."""
    made = exposition()
    for group in Group:
        values = {metric.name: metric.maximum for metric in CATALOGUE.group(group)}
        made.note_readings(group, [reading(0, **values), reading(1, **values)], 100.0)
    made.note_events([Event(time_us=1, kind=EventKind.XID, accelerator=UUIDS[0], code=79)])
    made.note_heartbeat(Heartbeat(time_us=1, spool_bytes=7, counters={"ticks-missed é": 3}))
    return made


def test_every_metric_has_one_name_and_none_twice() -> None:
    names = [entry.name for entry in EXPOSED]
    assert len(names) == len(set(names)) == len(CATALOGUE.metrics)
    assert all(re.fullmatch(r"(DCGM_FI|fleetgauge)_[A-Za-z0-9_]+", name) for name in names)
    ours = [entry for entry in EXPOSED if entry.name.startswith("fleetgauge")]
    assert all(entry.name.endswith("_total") == (entry.kind == "counter") for entry in ours)


@pytest.mark.parametrize(
    ("metric", "stored", "name", "shown"),
    [
        ("power_milliwatts", 699_123, "DCGM_FI_DEV_POWER_USAGE", 699.123),
        ("energy_millijoules", 2**53 + 1, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 2**53 + 1),
        ("memory_used_mebibytes", 40_960, "DCGM_FI_DEV_FB_USED", 40_960),
        ("clock_sm_megahertz", 1980, "DCGM_FI_DEV_SM_CLOCK", 1980),
        ("temperature_gpu_celsius", 61, "DCGM_FI_DEV_GPU_TEMP", 61),
        ("utilization_gpu_percent", 0, "DCGM_FI_DEV_GPU_UTIL", 0),
        ("tensor_active_permille", 333, "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", 0.333),
        ("throttled_power_nanoseconds", 5, "DCGM_FI_DEV_POWER_VIOLATION", 5),
        ("power_limit_milliwatts", 700_000, "DCGM_FI_DEV_POWER_MGMT_LIMIT", 700),
        ("utilization_jpeg_percent", 7, "fleetgauge_utilization_jpeg_ratio", 0.07),
        ("bar1_used_mebibytes", 3, "fleetgauge_bar1_used_bytes", 3 << 20),
        ("retired_pages_count", 3, "fleetgauge_retired_pages_total", 3),
    ],
)
def test_units_are_those_that_boards_expect(
    metric: str, stored: int, name: str, shown: float
) -> None:
    group = CATALOGUE.by_name[metric].group
    text = exposition(reading(**{metric: stored}), group=group).render(100.5)
    assert series(text, name) == {"0": pytest.approx(shown)}


def test_labels_are_dcgm_exporters_and_escaped() -> None:
    text = exposition(reading(temperature_gpu_celsius=61)).render(100.5)
    assert (
        'DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-01010101-0101-0101-0101-010101010101",'
        'pci_bus_id="00000000:00:00.0",device="nvidia0",'
        'modelName="NVIDIA \\"H100\\"\\\\80GB\\nHBM3",Hostname="host-1",'
        'DCGM_FI_DRIVER_VERSION="590.48.01"} 61'
    ) in text.splitlines()


def test_what_was_not_read_is_absent_and_not_zero() -> None:
    lost = AcceleratorReading(UUIDS[1], ReaderStatus.LOST)
    text = exposition(reading(temperature_gpu_celsius=61), lost).render(100.5)
    assert series(text, "DCGM_FI_DEV_GPU_TEMP") == {"0": 61}
    assert series(text, "DCGM_FI_DEV_POWER_USAGE") == {}
    assert series(text, "fleetgauge_reader_status_code") == {"0": 0, "1": 2}


def test_an_old_reading_is_absent_and_its_age_is_told() -> None:
    made = exposition(reading(temperature_gpu_celsius=61))
    assert series(made.render(103.0), "DCGM_FI_DEV_GPU_TEMP") == {"0": 61}
    assert series(made.render(103.1), "DCGM_FI_DEV_GPU_TEMP") == {}
    assert series(made.render(103.1), "fleetgauge_reader_status_code") == {}
    assert series(made.render(140.0), "fleetgauge_reading_age_seconds") == {"": 40}


def test_free_memory_is_what_is_not_used() -> None:
    text = exposition(reading(memory_used_mebibytes=559)).render(100)
    assert series(text, "DCGM_FI_DEV_FB_FREE") == {"0": 81_000}


def test_the_last_xid_is_told() -> None:
    text = whole().render(100)
    assert series(text, "DCGM_FI_DEV_XID_ERRORS") == {"0": 79, "1": 0}


def test_before_anything_is_known_nothing_is_claimed() -> None:
    assert Exposition("h", {Group.FAST: 1, Group.SLOW: 60}).render(0).strip() == ""


@given(st.text())
def test_no_text_breaks_out_of_a_label(text: str) -> None:
    assert re.fullmatch(r'(?:[^"\\\n]|\\.)*', escape_label(text))


def find_promtool() -> str | None:
    return os.environ.get("PROMTOOL") or shutil.which("promtool")


@pytest.mark.skipif(find_promtool() is None, reason="promtool is not installed (apt: prometheus)")
def test_promtool_accepts_every_line_and_finds_no_fault_in_it() -> None:
    checked = subprocess.run(
        [str(find_promtool()), "check", "metrics"],
        input=whole().render(100.5),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    # dcgm-exporter's labels are camel case, and ours join with its.
    faults = [line for line in checked.stderr.splitlines() if "label names should" not in line]
    ours = [line for line in faults if line.startswith("fleetgauge")]
    assert checked.returncode in (0, 3), checked.stderr
    assert ours == []


@pytest.fixture(scope="module")
def served() -> Iterator[ExpositionServer]:
    made = whole()
    server = ExpositionServer(":0", lambda: made.render(100.5))
    yield server
    server.close()


def fetch(server: ExpositionServer, method: str, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    response.text = response.read().decode()  # type: ignore[attr-defined]
    connection.close()
    return response


def test_metrics_are_served_on_loopback(served: ExpositionServer) -> None:
    response = fetch(served, "GET", "/metrics")
    assert response.status == 200
    assert response.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert series(response.text, "DCGM_FI_DEV_GPU_TEMP").keys() == {"0", "1"}  # type: ignore[attr-defined]
    assert served._server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/metrics/../etc/passwd", 404),
        ("HEAD", "/metrics", 200),
        ("POST", "/metrics", 501),
    ],
)
def test_nothing_else_is_served(
    served: ExpositionServer, method: str, path: str, status: int
) -> None:
    assert fetch(served, method, path).status == status


def test_clients_that_say_nothing_do_not_keep_others_out(served: ExpositionServer) -> None:
    silent = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(3)]
    assert fetch(served, "GET", "/metrics").status == 200
    for connection in silent:
        connection.close()


@pytest.mark.parametrize("listen", ["127.0.0.1:70000", "300.1.1.1:1", ":x"])
def test_an_address_that_cannot_be_had_is_a_wrong_setting(listen: str) -> None:
    with pytest.raises(ConfigError, match="prometheus_listen"):
        ExpositionServer(listen, lambda: "")


def test_a_port_in_use_is_a_wrong_setting(served: ExpositionServer) -> None:
    with pytest.raises(ConfigError, match="Address already in use"):
        ExpositionServer(f"127.0.0.1:{served.port}", lambda: "")
