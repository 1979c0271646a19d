"""Send recorded telemetry through the real wire, and see it through to the end.

PATH is a folder in one of two layouts, which is recognised by its tables:

    gentd26  containers of a serving cluster: GPU utilisation and memory, requests that wait,
             response times and request rates
    openb    nodes and pods of a scheduler: accelerators, and the backlog of jobs over time

    fleetgauge replay ../shared/data/gentd26 --speed 600
    fleetgauge replay ../shared/data/openb --check

Without --speed it goes as fast as the broker takes it. Times are shifted so that the recording
ends now; `--times original` keeps them (the collector must then run with samples_age_max_days and
events_age_max_days that reach back so far), `--times wall` stamps each point as it is sent. The
same recording with original times into the same facility is stored once, however often it is sent.

It ends when the broker has confirmed every message. --check then waits until all of it is stored
and compares counts and sums with those of the files. Exit code 1: something is not confirmed, or
not stored as it is in the files.
"""

import argparse
import logging
import math
import os
import sys
from pathlib import Path
from typing import cast
from zlib import crc32

from simulator import replay
from simulator.progress import Progress
from simulator.replay.check import Stored, differs, table, wait_until_stored
from simulator.replay.expected import expected
from simulator.replay.player import Player
from simulator.replay.recording import Recording
from simulator.replay.timeline import Timeline
from simulator.replay_settings import ReplaySettings
from simulator.sender import KafkaSender
from telemetry import logs, settings
from telemetry.clock import Clock, SystemClock
from telemetry.errors import ConfigError, RetryableError
from telemetry.stop import StopSignal

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder and one flag a setting."""
    parser.add_argument("path", type=Path, metavar="PATH", help="folder of the recording")
    settings.add_flags(parser, ReplaySettings)
    parser.add_argument(
        "--check", action="store_true", help="compare the database with the files at the end"
    )
    parser.add_argument(
        "--loop", action="store_true", help="begin again at the end, for ever; needs wall times"
    )


def run(arguments: argparse.Namespace) -> int:
    """Replay the folder, and check it where asked to."""
    chosen = settings.load(ReplaySettings, arguments, os.environ)
    logs.configure("replay", cast(logs.Level, chosen.log_level))
    if arguments.loop and (chosen.times != "wall" or arguments.check):
        raise ConfigError(["--loop: needs --times wall, and there is no end to check at"])
    folder: Path = arguments.path
    layout = replay.detect(folder)
    facility = chosen.facility or f"replay-{layout}"
    recording = replay.read(folder, facility)
    _report_problems(recording)
    clock, stop = SystemClock(), StopSignal()
    stop.install()
    sender = KafkaSender(chosen, stop)
    try:
        timeline = _timeline(chosen, recording, clock)
        stored = None
        if arguments.check:
            stored = Stored(
                chosen.database_url,
                chosen.tenant,
                facility,
                timeline.range_us,
                repeats=chosen.times == "original",
            )
        epoch = _boot_epoch(folder, timeline)
        player = Player(
            recording, chosen.tenant, facility, epoch, timeline.interval_ms(len(recording.steps))
        )
        Replay(chosen, recording, player, sender, clock, stop).run(timeline, loop=arguments.loop)
        confirmed = sender.wait_confirmed(chosen.confirm_timeout_s)
    finally:
        sender.close()
    _say(
        f"{facility}: {recording.points:,} points of {folder}, {sender.sent:,} messages sent, "
        f"{sender.confirmed:,} confirmed, {recording.problems.count:,} rows left out"
    )
    if not confirmed or sender.failed or (stop.is_set() and not arguments.loop):
        return 1
    return _check(chosen, folder, layout, stored, clock, stop) if stored else 0


class Replay:
    """Sends a player's messages when they are due."""

    def __init__(
        self,
        chosen: ReplaySettings,
        recording: Recording,
        player: Player,
        sender: KafkaSender,
        clock: Clock,
        stop: StopSignal,
    ) -> None:
        self._chosen, self._recording, self._player = chosen, recording, player
        self._sender, self._clock, self._stop = sender, clock, stop
        self._started_s = clock.monotonic_s()

    def run(self, timeline: Timeline, *, loop: bool) -> None:
        """Play the recording to its end, or over and over until told to stop."""
        for message in self._player.start(timeline.range_us[0], self._chosen.provider):
            self._sender.send(message)
        self._play_once(timeline)
        while loop and not self._stop.is_set():
            self._play_once(_timeline(self._chosen, self._recording, self._clock))
        for message in self._player.stop(self._clock.now_us()):
            self._sender.send(message)

    def _play_once(self, timeline: Timeline) -> None:
        began_s = self._clock.monotonic_s()
        progress = Progress(len(self._recording.steps), "moments", sys.stderr, self._clock)
        for number, step in enumerate(self._recording.steps, start=1):
            due_s = began_s + timeline.due_s(step.time_s)
            if self._stop.wait(due_s - self._clock.monotonic_s()):
                break
            messages = self._player.play(
                step,
                timeline.stamp_us(step.time_s),
                self._clock.now_us(),
                self._clock.monotonic_s() - self._started_s,
            )
            for message in messages:
                self._sender.send(message)
            progress.show(number)
        progress.end()


def _timeline(chosen: ReplaySettings, recording: Recording, clock: Clock) -> Timeline:
    try:
        return Timeline(
            mode=chosen.times,
            first_s=recording.first_s,
            last_s=recording.last_s,
            speed=chosen.speed or math.inf,
            start_us=clock.now_us(),
        )
    except ValueError as error:
        raise ConfigError([f"--times: {error}"]) from error


def _boot_epoch(folder: Path, timeline: Timeline) -> int:
    """Return a new epoch, or the recording's own one where its times are kept.

    Then a second replay repeats the first one's messages, and the collector drops repeats. The
    files' checksum keeps two recordings of the same times apart.
    """
    if timeline.mode != "original":
        return timeline.start_us
    checksum = 0
    for path in sorted(folder.glob("*.csv*")):
        checksum = crc32(path.read_bytes(), checksum)
    return timeline.range_us[0] + checksum


def _check(
    chosen: ReplaySettings,
    folder: Path,
    layout: str,
    stored: Stored,
    clock: Clock,
    stop: StopSignal,
) -> int:
    wanted = expected(folder, layout)
    try:
        found = wait_until_stored(stored, wanted, chosen.store_timeout_s, clock, stop)
    except RetryableError as error:
        log.error("%s", error)  # noqa: TRY400 - the reason is the text
        return 1
    _say(table(wanted, found))
    return 1 if differs(wanted, found) else 0


def _report_problems(recording: Recording) -> None:
    for sentence in recording.problems.first:
        log.warning("left out: %s", sentence)
    more = recording.problems.count - len(recording.problems.first)
    if more > 0:
        log.warning("left out: %d more rows", more)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
