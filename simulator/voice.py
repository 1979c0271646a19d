"""Speaking for a host without being one: headers, sequence numbers and keys of its messages.

Owns what makes messages of generated or recorded hosts indistinguishable from an agent's: one
sequence a stream and boot epoch, the Kafka key, and heartbeats that say what was given out. What
the messages hold comes from `fleet` and `replay`; sending is `sender`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import NamedTuple

from telemetry.records import (
    Accelerator,
    Dropped,
    Event,
    EventKind,
    EventRecord,
    Heartbeat,
    Inventory,
    Place,
    QueueSnapshot,
    Workloads,
)
from telemetry.streams import Stream
from telemetry.wire import (
    Header,
    SamplesHeader,
    encode_events,
    encode_queues,
    encode_samples,
)

AGENT_VERSION = version("fleetgauge")


@dataclass(slots=True)
class Voice:
    """One host's place in the three streams.

    Attributes:
        boot_epoch: must be higher than that of any earlier run under this name.
        uuids: its accelerators' UUIDs, joined, in the order of the columns.
        last_seqs: per stream, the last number given out.
        undelivered: what the broker never confirmed, to be told with the next heartbeat.
    """

    tenant: str
    facility: str
    host: str
    boot_epoch: int
    uuids: bytes = b""
    last_seqs: dict[str, int] = field(default_factory=dict)
    undelivered: list[tuple[Stream, int]] = field(default_factory=list)

    @property
    def key(self) -> bytes:
        """The Kafka key: one host is one partition."""
        return f"{self.tenant}/{self.facility}/{self.host}".encode()

    def samples(self, ticks: int, layout: bytes, body: bytes, sent_us: int) -> "Outgoing":
        """Return a samples message around a packed body."""
        seq = self._next(Stream.SAMPLES)
        header = SamplesHeader(
            tenant=self.tenant,
            facility=self.facility,
            host=self.host,
            boot_epoch=self.boot_epoch,
            seq=seq,
            sent_us=sent_us,
            ticks=ticks,
            accelerators=self.uuids,
            layout=layout,
        )
        return Outgoing(Stream.SAMPLES, self, seq, encode_samples(header, body))

    def events(self, records: Sequence[EventRecord], sent_us: int) -> "Outgoing":
        """Return an events message."""
        seq = self._next(Stream.EVENTS)
        return Outgoing(
            Stream.EVENTS, self, seq, encode_events(self._header(seq, sent_us), records)
        )

    def queues(self, snapshots: Sequence[QueueSnapshot], sent_us: int) -> "Outgoing":
        """Return a queues message."""
        seq = self._next(Stream.QUEUES)
        return Outgoing(
            Stream.QUEUES, self, seq, encode_queues(self._header(seq, sent_us), snapshots)
        )

    def hello(
        self,
        accelerators: Sequence[Accelerator],
        place: Place,
        time_us: int,
        *,
        provider: str = "",
        driver_version: str = "",
        started: bool = True,
        workloads: Workloads | None = None,
    ) -> "Outgoing":
        """Return the inventory, after the word that the agent has `started` where it just has.

        What holds the boards is told with it, where that is known.
        """
        inventory = Inventory(
            time_us=time_us,
            accelerators=tuple(accelerators),
            place=place,
            driver_version=driver_version,
            agent_version=AGENT_VERSION,
            provider=provider,
        )
        start = Event(time_us=time_us, kind=EventKind.AGENT_START, message="simulated host")
        told: list[EventRecord] = [start, inventory] if started else [inventory]
        return self.events([*told, workloads] if workloads is not None else told, time_us)

    def heartbeat(
        self, sent_us: int, sample_interval_ms: int, *more: EventRecord, tick_duration_us: int = 0
    ) -> "Outgoing":
        """Return a heartbeat, with other records after it, which counts its own message too."""
        dropped = [self._dropped(stream, seq, sent_us) for stream, seq in self.undelivered]
        self.undelivered.clear()
        given = dict(self.last_seqs)
        given[Stream.EVENTS] = given.get(Stream.EVENTS, 0) + 1
        beat = Heartbeat(
            time_us=sent_us,
            agent_version=AGENT_VERSION,
            sample_interval_ms=sample_interval_ms,
            tick_duration_us=tick_duration_us,
            last_seqs=given,
        )
        return self.events([*dropped, beat, *more], sent_us)

    def goodbye(self, sent_us: int, sample_interval_ms: int) -> "Outgoing":
        """Return the last message: a heartbeat and the word that the agent stops."""
        stop = Event(time_us=sent_us, kind=EventKind.AGENT_STOP)
        return self.heartbeat(sent_us, sample_interval_ms, stop)

    def _next(self, stream: Stream) -> int:
        seq = self.last_seqs.get(stream, 0) + 1
        self.last_seqs[stream] = seq
        return seq

    def _header(self, seq: int, sent_us: int) -> Header:
        return Header(
            tenant=self.tenant,
            facility=self.facility,
            host=self.host,
            boot_epoch=self.boot_epoch,
            seq=seq,
            sent_us=sent_us,
        )

    def _dropped(self, stream: Stream, seq: int, time_us: int) -> Dropped:
        return Dropped(
            time_us=time_us,
            stream=stream,
            boot_epoch=self.boot_epoch,
            first_seq=seq,
            last_seq=seq,
            reason="undelivered",
        )


class Outgoing(NamedTuple):
    """A message on its way to the broker."""

    stream: Stream
    voice: Voice
    seq: int
    value: bytes
