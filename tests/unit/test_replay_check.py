"""The comparison of what is stored with what the files hold."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.replay.check import Stored, differs, table, wait_until_stored
from simulator.replay.expected import Tally, expected
from telemetry.clock import SystemClock
from telemetry.stop import StopSignal

OWN = Path(__file__).parents[1] / "data" / "replay"

WANTED = {"samples.a": Tally(3, 30.0), "queue_samples.b": Tally(2, 0.3)}


def test_equal_tallies_agree_whatever_the_order_of_addition() -> None:
    found = {"samples.a": Tally(3, 30.0), "queue_samples.b": Tally(2, 0.1 + 0.2)}
    assert differs(WANTED, found) == []


@pytest.mark.parametrize("wrong", [Tally(2, 30.0), Tally(4, 30.0), Tally(3, 29.0)])
def test_another_count_or_sum_is_named(wrong: Tally) -> None:
    found = {"samples.a": wrong, "queue_samples.b": Tally(2, 0.3)}
    assert differs(WANTED, found) == ["samples.a"]
    assert "samples.a" in table(WANTED, found)
    assert table(WANTED, found).count("differs") == 1


def test_what_the_files_lack_must_not_be_stored() -> None:
    found = {**WANTED, "samples.c": Tally(1, 5.0)}
    assert differs(WANTED, found) == ["samples.c"]


def test_the_account_rounds_half_to_even(tmp_path: Path) -> None:
    for name in ("gpu_duty_cycle", "gpu_memory_used_bytes", "queue_size", "queue_response_ms"):
        (tmp_path / f"{name}.csv").write_text("unix_time_s,container,value\n")
    (tmp_path / "qps.csv").write_text("unix_time_s,container,value,request_type\n")
    (tmp_path / "gpu_duty_cycle.csv").write_text(
        "unix_time_s,container,value\n1,a,12.5\n1,b,13.5\n2,a,99.6\n2,b,not a number\n"
    )
    found = expected(tmp_path, "gentd26")
    assert found["samples.utilization_gpu_percent"] == Tally(3, 12 + 14 + 100)


def test_the_account_of_our_own_scheduler_counts_its_accelerators() -> None:
    assert expected(OWN / "openb", "openb")["accelerators"] == Tally(11, 11)


class FillingUp(Stored):
    """A database in which one more value arrives with each look."""

    def __init__(self) -> None:
        self._looks: Iterator[int] = iter(range(100))

    def since(self) -> dict[str, Tally]:
        count = next(self._looks)
        return {"samples.a": Tally(count, 10.0 * count), "queue_samples.b": Tally(2, 0.3)}


def test_it_waits_until_everything_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.replay.check.POLL_S", 0.0)
    found = wait_until_stored(FillingUp(), WANTED, 60.0, SystemClock(), StopSignal())
    assert found["samples.a"].count == 3


def test_it_gives_up_when_told_to_stop() -> None:
    stop = StopSignal()
    stop.set()
    found = wait_until_stored(FillingUp(), WANTED, 60.0, SystemClock(), stop)
    assert found["samples.a"].count == 0
