"""The NVIDIA reader: boards, metrics and events through nvidia-ml-py.

Owns the conversation with NVML: starting it, asking per board, noticing a lost or exchanged board.
What is asked stands in `nvidia_sources`, batches in `nvidia_fields`, GPM in `nvidia_gpm`, events in
`nvidia_events`, identity in `nvidia_identity`. It needs no privilege and starts no process.
"""

import logging
import threading
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import pynvml

from agent.accelerators import AcceleratorReading, Inspection
from agent.accelerators.nvidia_board import NAMES, Board, Collected
from agent.accelerators.nvidia_direct import DirectCalls
from agent.accelerators.nvidia_events import EventWaiter
from agent.accelerators.nvidia_fields import FieldBatch
from agent.accelerators.nvidia_gpm import GpmSampler
from agent.accelerators.nvidia_identity import describe, make_board
from agent.accelerators.nvidia_mig import (
    OFFERED,
    InstanceGoneError,
    check_instance,
    describe_instance,
    find_handles,
    make_instance,
)
from agent.accelerators.nvidia_sources import CALLS, FALLBACKS, HOURLY, LINK_FIELDS, Ask, Call
from agent.accelerators.nvidia_verdict import Verdict, translate, translate_start, verdict
from agent.calls import ThreadedCalls
from telemetry.catalogue import CATALOGUE
from telemetry.clock import Clock, SystemClock
from telemetry.errors import DeviceLost, PermanentError, ReadError, RetryableError
from telemetry.metrics import Group
from telemetry.records import Accelerator, Event, ReaderStatus

log = logging.getLogger(__name__)

HOUR_S = 3600.0
# Half of what an agent gives its child to open the driver.
OPEN_DEADLINE_S = 10.0
# What the binding raises by itself when the driver counts more entries than there can be, or
# gives a text that is none.
BINDING_ERRORS = (IndexError, MemoryError, OverflowError, UnicodeDecodeError)

SECOND_SOURCES = {
    group: tuple(
        (name, ask) for name, ask in FALLBACKS.items() if CATALOGUE.by_name[name].group is group
    )
    for group in Group
}


class _Asked(NamedTuple):
    """What is kept ready to ask of one board."""

    direct: DirectCalls
    fields: dict[Group, FieldBatch]
    gpm: GpmSampler


class _Found(NamedTuple):
    """A board, or an instance of one, as it was found."""

    entry: Accelerator
    board: Board
    asked: _Asked


class NvidiaReader:
    """All NVIDIA boards of this host.

    Args:
        clock: stamps events, and tells how far apart two GPM samples are.
        nvml: the binding; many simulated hosts in one process each bring a copy of their own.
        open_deadline_s: what all boards together may take to be opened.
    """

    def __init__(
        self, clock: Clock, nvml: Any = pynvml, open_deadline_s: float = OPEN_DEADLINE_S
    ) -> None:
        self._open_deadline_s = open_deadline_s
        self._clock = clock
        self._nvml = nvml
        self._started = False
        self._boards: list[Board] = []
        self._asked: list[_Asked] = []
        self._gpm_turn = threading.Lock()
        self._events: EventWaiter | None = None

    def open(self) -> Inspection:
        """Start NVML, or start it anew, and return the boards that answer."""
        self.close()
        nvml = self._nvml
        try:
            nvml.nvmlInit()
            self._started = True
            driver_version = nvml.nvmlSystemGetDriverVersion()
            library_version = nvml.nvmlSystemGetNVMLVersion()
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            raise translate_start(error) from error
        except UnicodeDecodeError as error:
            raise RetryableError("the NVIDIA driver's version is not text") from error
        entries, missing = self._find_boards(count)
        whole = tuple(board for board in self._boards if board.instance is None)
        self._events = EventWaiter(nvml, whole, self._clock)
        with suppress(ReadError):
            # It will be tried again with each wait.
            self._events.build_if_due()
        return Inspection(driver_version, library_version, tuple(entries), tuple(missing))

    def _find_boards(self, count: int) -> tuple[list[Accelerator], list[int]]:
        """Get to know all boards; one that hangs meanwhile is missing, and the others are there."""
        calls = ThreadedCalls(SystemClock())
        try:
            found = calls.gather(
                [partial(self._find_board, index) for index in range(count)],
                self._open_deadline_s,
            )
        finally:
            calls.close()
        entries: list[Accelerator] = []
        missing: list[int] = []
        for index, kept in enumerate(found):
            if isinstance(kept, list):
                entries += [board.entry for board in kept]
                self._boards += [board.board for board in kept]
                self._asked += [board.asked for board in kept]
            else:
                why = "it hangs while it is opened" if kept is None else kept
                log.warning("board %d does not answer: %s", index, why)
                missing.append(index)
        return entries, missing

    def _find_board(self, index: int) -> "list[_Found] | DeviceLost":
        """Get to know a board and what it is cut into."""
        found: list[_Found] = []
        try:
            self._look_at(index, found)
        except DeviceLost as error:
            for kept in found:
                kept.asked.gpm.free()
            return error
        return found

    def _look_at(self, index: int, found: "list[_Found]") -> None:
        nvml = self._nvml
        try:
            board = make_board(nvml, nvml.nvmlDeviceGetHandleByIndex(index))
        except nvml.NVMLError as error:
            if verdict(error.value) is Verdict.MISMATCH:
                raise translate_start(error) from error
            raise DeviceLost(str(error)) from error
        if not board.nvlinks:
            board.unsupported.update(LINK_FIELDS)
            board.exhausted.update(LINK_FIELDS)
        instances = find_handles(nvml, board)
        board.cut_into = None if instances is None else frozenset(instances)
        asked, given = self._ask_once(board)
        entry = describe(nvml, board, index, given)
        found.append(_Found(entry, board, asked))
        for uuid_text, handle in (instances or {}).items():
            instance = make_instance(nvml, board, uuid_text, handle)
            if instance is not None and instance.instance is not None:
                asked, _ = self._ask_once(instance)
                entry_of = describe_instance(nvml, instance, instance.instance, entry)
                found.append(_Found(entry_of, instance, asked))

    def _ask_once(self, board: Board) -> "tuple[_Asked, set[str]]":
        """Read a board once, for what it does not offer; return what it gave as well."""
        nvml, collected = self._nvml, Collected(board)
        asked = _Asked(
            DirectCalls(nvml, board),
            {group: FieldBatch(nvml, board, group) for group in Group},
            GpmSampler(nvml, board, self._gpm_turn),
        )
        for group in Group:
            self._collect(board, asked, group, collected)
        asked.gpm.collect(collected, self._clock.monotonic_s())
        return asked, set(collected.values)

    def read(self, position: int, group: Group) -> AcceleratorReading:
        """Read one group of metrics of the board at that position of the last inspection."""
        board, asked = self._boards[position], self._asked[position]
        collected = Collected(board)
        try:
            self._check_identity(board, asked)
            self._collect(board, asked, group, collected)
            if group is Group.FAST:
                asked.gpm.collect(collected, self._clock.monotonic_s())
            outdated = group is Group.SLOW and self._is_cut_otherwise(board)
        except InstanceGoneError as error:
            collected.failed.update(dict.fromkeys(OFFERED & NAMES[group], str(error)))
            return collected.reading(group, outdated=True)
        except DeviceLost:
            board.lost = True
            return AcceleratorReading(board.uuid, ReaderStatus.LOST)
        except PermanentError:
            return AcceleratorReading(board.uuid, ReaderStatus.DRIVER_MISMATCH)
        return collected.reading(group, outdated=outdated)

    def _is_cut_otherwise(self, board: Board) -> bool:
        if board.instance is not None:
            return False
        instances = find_handles(self._nvml, board)
        return (None if instances is None else frozenset(instances)) != board.cut_into

    def _check_identity(self, board: Board, asked: "_Asked") -> None:
        """Find a lost board again, and notice when another sits in its place.

        Raises:
            DeviceLost: this board is not there.
            InstanceGoneError: the board is, and is cut otherwise now.
        """
        nvml = self._nvml
        if board.instance is not None:
            check_instance(nvml, board)
            return
        try:
            if board.lost:
                asked.gpm.forget()
                board.handle = nvml.nvmlDeviceGetHandleByUUID(board.uuid_text)
                board.lost = False
            if not asked.direct.is_there():
                raise DeviceLost("another board sits in its place")
        except nvml.NVMLError as error:
            if verdict(error.value) is Verdict.MISMATCH:
                raise translate(error) from error
            raise DeviceLost(str(error)) from error

    def _collect(self, board: Board, asked: "_Asked", group: Group, collected: Collected) -> None:
        """Ask every question of a group that the board has not yet said no to."""
        if group is Group.FAST:
            asked.direct.collect(collected)
        else:
            self._collect_slow(board, collected)
        asked.fields[group].collect(collected)
        for name, ask in SECOND_SOURCES[group]:
            if name in board.unsupported and name not in board.exhausted:
                self._ask((name,), ask, board, collected)
                if name not in collected.values and name not in collected.failed:
                    board.exhausted.add(name)

    def _collect_slow(self, board: Board, collected: Collected) -> None:
        for call in CALLS:
            if not board.unsupported.issuperset(call.metrics):
                self._ask(call.metrics, call.ask, board, collected)
        for call in HOURLY:
            if not board.unsupported.issuperset(call.metrics):
                self._ask_hourly(call, board, collected)

    def _ask(self, names: tuple[str, ...], ask: Ask, board: Board, collected: Collected) -> None:
        try:
            for name, value in zip(names, ask(self._nvml, board), strict=True):
                collected.accept(name, int(value))
        except self._nvml.NVMLError as error:
            collected.refuse(names, error)
        except BINDING_ERRORS as error:
            collected.failed.update(dict.fromkeys(names, f"absurd answer: {error!r}"))

    def _ask_hourly(self, call: Call, board: Board, collected: Collected) -> None:
        """Ask, or give the answer of the last hour again."""
        now_s = self._clock.monotonic_s()
        asked_s, kept = board.hourly.get(call.metrics, (float("-inf"), {}))
        if now_s - asked_s < HOUR_S:
            collected.values |= kept
            return
        self._ask(call.metrics, call.ask, board, collected)
        if collected.values.keys() >= set(call.metrics):
            answer = {name: collected.values[name] for name in call.metrics}
            board.hourly[call.metrics] = now_s, answer

    def wait_events(self, timeout_s: float) -> list[Event]:
        """Return what the boards report, as soon as they do."""
        if self._events is None:
            raise ReadError("the reader is not open")
        return self._events.wait(timeout_s)

    def close(self) -> None:
        """Let go of NVML."""
        if self._events is not None:
            self._events.close()
        for asked in self._asked:
            asked.gpm.free()
        self._boards, self._asked, self._events = [], [], None
        if self._started:
            self._started = False
            try:
                self._nvml.nvmlShutdown()
            except self._nvml.NVMLError as error:
                log.debug("NVML was gone already: %s", error)
