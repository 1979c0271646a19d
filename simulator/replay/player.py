"""A recording's moments as messages of its hosts.

Owns what is gathered into one message and when heartbeats are due. Pure: times are passed in;
waiting and sending are `simulator.replay_command`'s.
"""

from collections.abc import Iterator

import msgspec

from simulator.replay.recording import Recording, Step
from simulator.voice import Outgoing, Voice
from telemetry.catalogue import CATALOGUE
from telemetry.packing import Reading, pack
from telemetry.records import Place, QueueSnapshot
from telemetry.wire import layout_of

TICKS_PER_MESSAGE_MAX = 60
SNAPSHOTS_PER_MESSAGE_MAX = 1000
GATHER_S = 1.0
HEARTBEAT_S = 10.0


class Player:
    """Turns steps into messages. One player is one boot epoch of each host."""

    def __init__(
        self,
        recording: Recording,
        tenant: str,
        facility: str,
        boot_epoch: int,
        interval_ms: int = 0,
    ) -> None:
        """Prepare; `interval_ms` is what the heartbeats say of the distance between samples."""
        self._recording = recording
        self._metrics = tuple(
            CATALOGUE.by_name[name] for name in (*recording.metrics, "reader_status_code")
        )
        self._layout = layout_of(self._metrics)
        self._voices = [
            Voice(
                tenant, facility, host.name, boot_epoch, b"".join(a.uuid for a in host.accelerators)
            )
            for host in recording.hosts
        ]
        self._times_us: dict[int, list[int]] = {}
        self._rows: dict[int, list[list[Reading]]] = {}
        self._snapshots: list[QueueSnapshot] = []
        self._gathered_since_s = 0.0
        self._beat_s = 0.0
        self._interval_ms = interval_ms

    def start(self, time_us: int, provider: str = "") -> Iterator[Outgoing]:
        """Yield what each host says first."""
        for voice, host in zip(self._voices, self._recording.hosts, strict=True):
            yield voice.hello(host.accelerators, Place(), time_us, provider=provider)

    def play(self, step: Step, time_us: int, now_us: int, elapsed_s: float) -> Iterator[Outgoing]:
        """Take a step and yield the messages that are full, or old enough.

        Args:
            step: what was recorded.
            time_us: what it is stamped with.
            now_us: wall time.
            elapsed_s: seconds since the start.
        """
        for host, row in step.readings.items():
            self._times_us.setdefault(host, []).append(time_us)
            self._rows.setdefault(host, []).append(list(row))
            if len(self._rows[host]) >= TICKS_PER_MESSAGE_MAX:
                yield self._take_samples(host, now_us)
        self._snapshots += [msgspec.structs.replace(s, time_us=time_us) for s in step.queues]
        if len(self._snapshots) >= SNAPSHOTS_PER_MESSAGE_MAX:
            yield from self._take_queues(now_us)
        if elapsed_s - self._gathered_since_s >= GATHER_S:
            self._gathered_since_s = elapsed_s
            yield from self.flush(now_us)
        if elapsed_s - self._beat_s >= HEARTBEAT_S:
            self._beat_s = elapsed_s
            for voice in self._voices:
                yield voice.heartbeat(now_us, self._interval_ms)

    def flush(self, now_us: int) -> Iterator[Outgoing]:
        """Yield what is gathered."""
        for host in list(self._rows):
            yield self._take_samples(host, now_us)
        yield from self._take_queues(now_us)

    def stop(self, now_us: int) -> Iterator[Outgoing]:
        """Yield what is gathered, and each host's last word."""
        yield from self.flush(now_us)
        for voice in self._voices:
            yield voice.goodbye(now_us, self._interval_ms)

    def _take_samples(self, host: int, now_us: int) -> Outgoing:
        times_us, rows = self._times_us.pop(host), self._rows.pop(host)
        body = pack(self._metrics, times_us, rows)
        return self._voices[host].samples(len(times_us), self._layout, body, now_us)

    def _take_queues(self, now_us: int) -> Iterator[Outgoing]:
        """The first host saw the queues."""
        if self._snapshots:
            yield self._voices[0].queues(self._snapshots, now_us)
            self._snapshots = []
