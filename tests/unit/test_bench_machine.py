"""What a bench says of the machine: how busy it was, and what a hypervisor took away."""

from typing import Any, NamedTuple

import pytest

from benchmarks.machine import Machine


class Times(NamedTuple):
    """Seconds of all cores since they were started."""

    user: float
    idle: float
    iowait: float
    steal: float
    guest: float


def described(monkeypatch: pytest.MonkeyPatch, before: Times, after: Times) -> dict[str, Any]:
    looks = iter([before, after])
    monkeypatch.setattr("benchmarks.machine.psutil.cpu_times", lambda: next(looks))
    return Machine().description()


def test_time_that_others_on_the_same_hardware_took_is_neither_busy_nor_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = Times(user=100, idle=50, iowait=5, steal=10, guest=40)
    after = Times(user=160, idle=70, iowait=10, steal=25, guest=90)
    machine = described(monkeypatch, before, after)
    assert (machine["busy_percent"], machine["stolen_percent"]) == (60.0, 15.0)
    assert machine["cores"] >= 1


def test_a_bench_that_takes_no_time_divides_by_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    same = Times(1, 1, 1, 1, 1)
    assert described(monkeypatch, same, same)["stolen_percent"] == 0.0
