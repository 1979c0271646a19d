"""The layout `gentd26`: every good point is sent, with the rounding that is promised."""

import gzip
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator import replay
from simulator.replay.expected import Tally, expected
from simulator.replay.gentd26 import TABLES
from simulator.replay.player import Player
from simulator.replay.recording import Recording
from simulator.voice import Outgoing
from telemetry import packing, wire
from telemetry.errors import ConfigError
from telemetry.records import Inventory
from telemetry.streams import Stream

OWN = Path(__file__).parents[1] / "data" / "replay" / "gentd26"
RECORDED = Path(__file__).parents[3] / "shared" / "data" / "gentd26"


def play(recording: Recording) -> list[Outgoing]:
    player = Player(recording, "default", "f", boot_epoch=1)
    messages = list(player.start(0))
    for step in recording.steps:
        messages += player.play(step, round(step.time_s * 1e6), 0, 0.0)
    return messages + list(player.stop(0))


def values_of(outgoing: Outgoing) -> Iterator[tuple[str, float]]:
    """The (column, value) pairs at the other end of the wire."""
    message = wire.decode(outgoing.value)
    if outgoing.stream is Stream.SAMPLES:
        for name, column in packing.unpack(message).columns.items():
            yield from ((f"samples.{name}", value) for value in column if value is not None)
    elif outgoing.stream is Stream.QUEUES:
        for snapshot in wire.decode_queues(message):
            figures = {name: getattr(snapshot, name) for name in snapshot.__struct_fields__}
            yield from ((f"queue_samples.{n}", v) for n, v in figures.items() if type(v) is float)
    else:
        for record in wire.decode_events(message):
            if isinstance(record, Inventory):
                yield from (("accelerators", 1.0) for _ in record.accelerators)


def sent(recording: Recording) -> dict[str, Tally]:
    values: dict[str, list[float]] = {}
    for outgoing in play(recording):
        for name, value in values_of(outgoing):
            values.setdefault(name, []).append(value)
    return {name: Tally(len(each), math.fsum(each)) for name, each in values.items()}


def make(folder: Path, **tables: str) -> Path:
    """A recording whose tables are headings only, but for those given."""
    for table in TABLES:
        heading = "unix_time_s,container,value" + (",request_type" if table == "qps" else "")
        (folder / f"{table}.csv").write_text(f"{heading}\n{tables.get(table, '')}")
    return folder


def test_every_point_of_our_own_recording_is_sent() -> None:
    recording = replay.read(OWN, "f")
    found = sent(recording)
    wanted = expected(OWN, "gentd26")
    assert recording.problems.count == 0
    assert wanted["samples.utilization_gpu_percent"].count == 54
    for name, tally in wanted.items():
        assert tally.agrees(found[name]), name


@pytest.mark.slow
@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded data is not at ../shared/data")
def test_every_point_of_the_recorded_cluster_is_sent() -> None:
    recording = replay.read(RECORDED, "f")
    found = sent(recording)
    assert recording.points == 83_265 + 84_721 + 754 + 22_182 + 22_943
    for name, tally in expected(RECORDED, "gentd26").items():
        assert tally.agrees(found[name]), name


def test_rounding_goes_to_the_even_neighbour(tmp_path: Path) -> None:
    folder = make(tmp_path, gpu_duty_cycle="1,a,12.5\n2,a,13.5\n3,a,0.4\n4,a,99.6\n")
    steps = replay.read(folder, "f").steps
    assert [step.readings[0][0]["utilization_gpu_percent"] for step in steps] == [12, 14, 0, 100]


def test_a_missing_point_stays_missing_beside_its_neighbours() -> None:
    by_time = {step.time_s: step for step in replay.read(OWN, "f").steps}
    row = by_time[1_700_000_114.0].readings[0]
    assert row[3] == {}
    assert row[2]["reader_status_code"] == 0


def test_eight_containers_make_a_host() -> None:
    hosts = replay.read(OWN, "site").hosts
    assert [len(host.accelerators) for host in hosts] == [8, 2]
    assert hosts[0].name == "site-001"


def test_accelerators_keep_their_identity_in_a_second_run_and_differ_between_facilities() -> None:
    first, again, other = (replay.read(OWN, name).hosts[0] for name in ("a", "a", "b"))
    assert first.accelerators == again.accelerators
    assert not {a.uuid for a in first.accelerators} & {a.uuid for a in other.accelerators}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,a", "2 fields"),
        ("x,a,1", "not a time"),
        ("-5,a,1", "not a time"),
        ("1,a,nan", "not a number from 0"),
        ("1,a,-1", "not a number from 0"),
        ("1,a,many", "not a number"),
        ("1,a,250", "out of range"),
        ("1,,5", "no container"),
        ("1,<b>,5", "not a name"),
        ("9,a,7", "a second value"),
        ("99999999999999,a,1", "not a time"),
    ],
)
def test_a_bad_row_is_left_out_and_named(tmp_path: Path, row: str, reason: str) -> None:
    folder = make(tmp_path, gpu_duty_cycle=f"9,a,7\n{row}\n10,a,8\n")
    recording = replay.read(folder, "f")
    assert recording.points == 2
    assert recording.problems.count == 1
    assert recording.problems.first[0].startswith(f"{folder / 'gpu_duty_cycle.csv'}:3: ")
    assert reason in recording.problems.first[0]


def test_a_missing_table_is_said(tmp_path: Path) -> None:
    folder = make(tmp_path, gpu_duty_cycle="1,a,5\n")
    (folder / "qps.csv").unlink()
    assert "qps.csv" in replay.read(folder, "f").problems.first[0]


def test_a_heading_without_a_column_stops_the_start(tmp_path: Path) -> None:
    folder = make(tmp_path, gpu_duty_cycle="1,a,5\n")
    (folder / "queue_size.csv").write_text("unix_time_s,value\n1,2\n")
    with pytest.raises(ConfigError, match=r"queue_size\.csv:1: the heading lacks container"):
        replay.read(folder, "f")


def test_a_torn_archive_stops_the_start(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / "gpu_duty_cycle.csv").unlink()
    whole = gzip.compress(b"unix_time_s,container,value\n" + b"1,a,5\n" * 1000)
    (folder / "gpu_duty_cycle.csv.gz").write_bytes(whole[:40])
    with pytest.raises(ConfigError, match=r"gpu_duty_cycle\.csv\.gz"):
        replay.read(folder, "f")


def test_a_recording_without_a_good_row_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no usable row"):
        replay.read(make(tmp_path), "f")


def test_a_folder_of_no_known_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no recording of a known layout"):
        replay.detect(tmp_path)
