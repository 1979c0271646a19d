"""The turns of the backlog: a reader that brings nothing is not waited for for ever."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from collector import catch_up
from collector.catch_up import SILENT_S_MAX, CatchUp
from collector.claims import Claim
from collector.consumer import Partition, Received
from collector.lanes import Lanes, Span
from collector.settings import CollectorSettings
from collector.writer import Writer
from telemetry.streams import Stream
from tests.fix_collector import FixedClock

PARTITION = Partition("samples", 0)
RECORD = Received(PARTITION, Stream.SAMPLES, 3, None, b"")


class FakeReader:
    made: list["FakeReader"]

    def __init__(self, _settings: CollectorSettings) -> None:
        self.made.append(self)
        self.is_closed = False
        self.brings: list[Received] = []

    def poll(self, _claims: Mapping[Partition, Claim], _timeout_s: float) -> list[Received]:
        found, self.brings = self.brings, []
        return found

    def ended(self) -> dict[Partition, int]:
        return {}

    def close(self) -> None:
        self.is_closed = True


class FakeWriter:
    def store(self, _records: Any, _claims: Any) -> None: ...


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[FakeReader]:
    FakeReader.made = []
    monkeypatch.setattr(catch_up, "BacklogReader", FakeReader)
    return FakeReader.made


class Turns:
    def __init__(self, clock: FixedClock) -> None:
        self._clock = clock
        self._catch_up = CatchUp(CollectorSettings(database_url="postgresql:///"), clock)
        self._claims = {PARTITION: Claim("log", 1, Lanes(9, (Span(3, 9),)), 9)}

    def take(self, after_s: float) -> int:
        self._clock.seconds += after_s
        return self._catch_up.turn(cast("Writer", FakeWriter()), self._claims, lambda: False)


def test_a_reader_that_brings_nothing_for_long_is_replaced(
    made: list[FakeReader], fixed_clock: FixedClock
) -> None:
    turns = Turns(fixed_clock)
    turns.take(0.0)
    turns.take(SILENT_S_MAX - 1)
    assert len(made) == 1
    turns.take(2.0)
    assert made[0].is_closed
    turns.take(0.0)
    assert len(made) == 2
    assert not made[1].is_closed


def test_a_reader_that_brings_something_now_and_then_is_kept(
    made: list[FakeReader], fixed_clock: FixedClock
) -> None:
    turns = Turns(fixed_clock)
    turns.take(0.0)
    for _ in range(3):
        turns.take(SILENT_S_MAX - 1)
        made[0].brings = [RECORD]
        assert turns.take(2.0) == 1
    assert len(made) == 1
