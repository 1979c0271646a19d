"""What the doctor finds, and how it tells."""

import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kafka.errors import SaslAuthenticationFailedError

import fleetgauge.__main__ as command_line
from agent.accelerators.nvidia import NvidiaReader
from agent.doctor import Finding, NoAnswer, as_json, as_text, exit_code, fail, ok, warn, within
from agent.doctor_broker import check_address, check_broker, check_files, judge_topic
from agent.doctor_driver import check_driver
from agent.doctor_host import (
    check_clock,
    check_kernel_log,
    check_other_agent,
    check_spool,
    check_user,
    lock_holder,
)
from agent.host.clock_sync import ClockSync, interpret, read_clock_sync
from agent.spool_file import SpoolFile
from simulator.nvml.driver import SimulatedDriver
from telemetry.streams import KafkaSettings
from tests.fix_accelerators import Bind, ManualClock


def by_subject(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def examined(nvml: ModuleType, clock: ManualClock) -> dict[str, Finding]:
    reader = NvidiaReader(clock, nvml)
    return by_subject(check_driver(reader, lambda: clock.pass_s(1)))


def test_a_healthy_host_has_a_finding_for_each_board_and_group(
    bind: Bind, make_gpu_host: Any, manual_clock: ManualClock
) -> None:
    found = examined(bind(make_gpu_host("h100", gpus=2)), manual_clock)
    assert {finding.verdict for finding in found.values()} == {"ok"}
    assert found.keys() >= {"driver", "GPU 0", "GPU 1", "fast metrics", "slow metrics", "events"}
    assert "NVIDIA H100" in found["GPU 1"].sentence
    assert "c2c_errors_count" in found["slow metrics"].sentence
    # Activity is read as well, which takes two readings.
    assert found["fast metrics"].sentence.startswith("30 read")


def test_a_lost_board_fails_and_the_others_are_looked_at(
    bind: Bind, make_gpu_host: Any, manual_clock: ManualClock
) -> None:
    host: SimulatedDriver = make_gpu_host("h100", gpus=3)
    nvml = bind(host)
    host.lose(1)
    found = examined(nvml, manual_clock)
    assert [found[f"GPU {n}"].verdict for n in range(3)] == ["ok", "fail", "ok"]


def test_a_board_that_hangs_is_told_and_the_others_are_looked_at(
    bind: Bind, make_gpu_host: Any, manual_clock: ManualClock
) -> None:
    host: SimulatedDriver = make_gpu_host("h100", gpus=2)
    reader = NvidiaReader(manual_clock, bind(host))

    def pause() -> None:
        manual_clock.pass_s(1)
        host.hang(1)

    found = by_subject(check_driver(reader, pause, deadline_s=1.0))
    assert [found[f"GPU {n}"].verdict for n in range(2)] == ["ok", "fail"]
    assert "hangs" in found["GPU 1"].sentence


def test_a_metric_that_fails_is_named_with_the_drivers_words(
    bind: Bind, make_gpu_host: Any, manual_clock: ManualClock
) -> None:
    host: SimulatedDriver = make_gpu_host("h100", gpus=2)
    nvml = bind(host)
    host.set_failing(0, "nvmlDeviceGetUtilizationRates", 999)
    found = examined(nvml, manual_clock)
    assert [found[f"GPU {n}"].verdict for n in range(2)] == ["warn", "ok"]
    assert "utilization_gpu_percent" in found["fast metrics"].sentence
    assert "Unknown Error" in found["fast metrics"].next_step


def test_no_driver_is_one_finding_with_a_way_out(manual_clock: ManualClock) -> None:
    import pynvml  # noqa: PLC0415 - the real binding, without a library under it

    if pynvml.nvmlLib is not None:
        pytest.skip("this machine has an NVIDIA library loaded")
    found = list(check_driver(NvidiaReader(manual_clock)))
    if found[0].verdict != "fail":
        pytest.skip("this machine has an NVIDIA driver")
    assert len(found) == 1
    assert "install the NVIDIA driver" in found[0].next_step


def test_a_call_that_never_comes_back_does_not_hold_the_doctor() -> None:
    blocked, release = os.pipe()
    with pytest.raises(NoAnswer):
        within(0.01, lambda: os.read(blocked, 1))
    os.write(release, b"x")
    os.close(release)


def test_what_a_call_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 / 0)


def test_only_a_failure_changes_the_exit_code() -> None:
    fine = [ok("a", "x"), warn("b", "y", "z")]
    assert exit_code(fine) == 0
    assert exit_code([*fine, fail("c", "d", "e")]) == 1


def test_the_text_shows_the_next_step_and_cannot_be_forged() -> None:
    text = as_text([ok("a", "fine"), fail("long subject", "bad\x1b[2J", "do this")])
    assert text.splitlines() == [
        "ok    a             fine",
        "fail  long subject  bad?[2J",
        "                    → do this",
        "",
        "1 of 2 failed: the agent cannot do its work here yet.",
    ]


def test_json_says_the_same() -> None:
    told = json.loads(as_json([warn("clock", "is off", "mend it")]))
    assert told == {
        "ok": True,
        "findings": [
            {"subject": "clock", "verdict": "warn", "sentence": "is off", "next_step": "mend it"}
        ],
    }


@pytest.mark.parametrize(("uid", "verdict"), [(0, "warn"), (65534, "ok"), (3_999_999_999, "ok")])
def test_root_is_told_that_it_is_root(uid: int, verdict: str) -> None:
    assert check_user(uid).verdict == verdict


def test_a_kernel_log_that_is_missing_or_off_is_a_warning(tmp_path: Path) -> None:
    assert check_kernel_log("").verdict == "warn"
    assert check_kernel_log(str(tmp_path / "none")).verdict == "warn"
    (tmp_path / "kmsg").touch()
    assert check_kernel_log(str(tmp_path / "kmsg")).verdict == "ok"


def test_the_spools_folder_may_still_have_to_be_made(tmp_path: Path) -> None:
    assert check_spool(tmp_path / "new" / "spool.sqlite3", 1 << 20).verdict == "ok"
    assert not (tmp_path / "new").exists()


def test_too_little_room_for_the_spool_is_a_warning(tmp_path: Path) -> None:
    assert check_spool(tmp_path / "spool.sqlite3", 1 << 60).verdict == "warn"


@pytest.fixture
def another_user() -> Iterator[None]:
    """Nobody's rights where the tests run as root, who may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.parametrize("path", ["spool.sqlite3", "folder/spool.sqlite3"])
def test_a_spool_that_cannot_be_written_or_seen_fails(
    tmp_path: Path, another_user: None, path: str
) -> None:
    if os.geteuid() != 65534:
        tmp_path.chmod(0o500)
    assert check_spool(tmp_path / path, 1).verdict == "fail"


LOCKS = """\
1: POSIX  ADVISORY  READ 11 00:1f:77 0 EOF
2: FLOCK  ADVISORY  WRITE 4242 08:01:77 0 EOF
2: -> FLOCK  ADVISORY  WRITE 4343 08:01:78 0 EOF
garbage
"""


@pytest.mark.parametrize(("inode", "holder"), [(77, 4242), (78, None), (7, None)])
def test_a_lock_is_found_in_the_kernels_list(inode: int, holder: int | None) -> None:
    assert lock_holder(LOCKS, inode) == holder


@pytest.mark.skipif(not os.access("/proc/locks", os.R_OK), reason="there is no /proc/locks here")
def test_an_agent_that_runs_already_is_named_without_taking_its_lock(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path / "spool.sqlite3", 1 << 20)
    lock, locks = tmp_path / "spool.sqlite3.lock", Path("/proc/locks")
    assert "none has run" in check_other_agent(lock, locks).sentence
    spool.lock()
    assert f"process {os.getpid()} runs" in check_other_agent(lock, locks).sentence
    spool.unlock()
    assert "none runs" in check_other_agent(lock, locks).sentence


@pytest.mark.parametrize(
    ("state", "status", "error_us", "verdict"),
    [(0, 0x2001, 900, "ok"), (5, 0x40, 16_000_000, "warn"), (0, 0x1, 2_000_000, "warn")],
)
def test_a_clock_is_judged_by_what_the_kernel_says(
    state: int, status: int, error_us: int, verdict: str
) -> None:
    assert check_clock(lambda: interpret(state, status, error_us, 0)).verdict == verdict


def test_a_kernel_that_may_not_be_asked_is_a_warning() -> None:
    def refuse() -> ClockSync:
        raise PermissionError(1, "Operation not permitted")

    assert check_clock(refuse).verdict == "warn"


def test_the_real_kernel_answers_with_plausible_errors() -> None:
    try:
        sync = read_clock_sync()
    except PermissionError:
        pytest.skip("this sandbox forbids adjtimex")
    assert 0 <= sync.error_max_us <= 3600 * 10**6


def metadata(**change: object) -> Mapping[str, Any]:
    return {
        "name": "fleetgauge.samples",
        "error_code": 0,
        "partitions": [{"leader_id": 1}, {"leader_id": 2}],
        "authorized_operations": None,
        **change,
    }


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({}, "ok", "2 partitions"),
        ({"authorized_operations": ["DESCRIBE", "WRITE"]}, "ok", "may be written"),
        ({"authorized_operations": ["DESCRIBE"]}, "fail", "may not be written"),
        ({"error_code": 3}, "fail", "is not there"),
        ({"error_code": 29}, "fail", "may not be seen"),
        ({"error_code": 17}, "fail", "InvalidTopic"),
        ({"partitions": [{"leader_id": -1}, {"leader_id": 1}]}, "fail", "1 of 2"),
    ],
)
def test_a_topic_is_judged_by_its_metadata(
    change: dict[str, object], verdict: str, words: str
) -> None:
    finding = judge_topic(metadata(**change))
    assert (finding.verdict, words in finding.sentence) == (verdict, True)


class FakeAdmin:
    def __init__(self, entries: list[Mapping[str, Any]]) -> None:
        self.entries = entries
        self.closed = False

    def describe_topics(self, topics: list[str]) -> list[Mapping[str, Any]]:
        return [{**entry, "name": name} for name, entry in zip(topics, self.entries, strict=True)]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def listening() -> Iterator[KafkaSettings]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield KafkaSettings(kafka_bootstrap=f"127.0.0.1:{server.getsockname()[1]}")


def test_every_topic_of_a_broker_is_looked_at(listening: KafkaSettings) -> None:
    admin = FakeAdmin([metadata(), metadata(error_code=3), metadata()])
    found = by_subject(check_broker(listening, lambda _settings: admin))
    verdicts = [
        found[f"topic fleetgauge.{name}"].verdict for name in ("samples", "events", "queues")
    ]
    assert verdicts == ["ok", "fail", "ok"]
    assert admin.closed


def test_a_refused_login_names_the_settings(listening: KafkaSettings) -> None:
    def refuse(_settings: KafkaSettings) -> FakeAdmin:
        raise SaslAuthenticationFailedError("wrong password")

    *_, last = check_broker(listening, refuse)
    assert last.verdict == "fail"
    assert "kafka_sasl_username" in last.next_step


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:9092", "127.0.0.1:99999"])
def test_an_address_that_cannot_be_reached_fails(address: str) -> None:
    assert check_address(address).verdict == "fail"


def test_nothing_is_asked_of_a_broker_that_cannot_be_reached() -> None:
    findings = list(check_broker(KafkaSettings(kafka_bootstrap="127.0.0.1:1")))
    assert [finding.subject for finding in findings] == ["broker"]


def test_missing_certificates_and_plain_text_are_told(tmp_path: Path) -> None:
    missing = KafkaSettings(
        kafka_security_protocol="SSL",
        kafka_ssl_certificate_file=str(tmp_path / "certificate.pem"),
        kafka_ssl_key_file=str(tmp_path / "key.pem"),
    )
    assert [finding.verdict for finding in check_files(missing)] == ["fail"]
    assert [finding.verdict for finding in check_files(KafkaSettings())] == ["warn"]
    (tmp_path / "ca.pem").write_text("no certificate")
    wrong = KafkaSettings(kafka_security_protocol="SSL", kafka_ssl_ca_file=str(tmp_path / "ca.pem"))
    assert [finding.verdict for finding in check_files(wrong)] == ["fail"]


@pytest.fixture
def logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_command_ends_with_1_where_the_broker_is_missing(
    gpu_host: SimulatedDriver,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    logging_restored: None,
) -> None:
    flags = ["--kafka-bootstrap", "127.0.0.1:1", "--spool-path", str(tmp_path / "spool")]
    assert command_line.main(["doctor", "--json", *flags]) == 1
    told = json.loads(capsys.readouterr().out)
    failed = [entry["subject"] for entry in told["findings"] if entry["verdict"] == "fail"]
    assert (told["ok"], failed) == (False, ["broker"])


def test_a_wrong_setting_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["doctor", "--kafka-bootstrap", "nonsense"]) == 2
    assert "--kafka-bootstrap" in capsys.readouterr().err
