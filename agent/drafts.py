"""What is handed from those who read to the outbox, before it has a place in a sequence.

Owns the records of the hand-over. They become messages in `outbox.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from telemetry.errors import ConfigError
from telemetry.metrics import Group
from telemetry.records import Accelerator, EventRecord, Name, QueueSnapshot


class Identity(msgspec.Struct, frozen=True):
    """Who sends: the names that stand in every header, and the key of every Kafka record."""

    tenant: Name
    facility: Name
    host: Name

    @property
    def key(self) -> bytes:
        """The Kafka key: one host is one partition, so its messages stay in order."""
        return f"{self.tenant}/{self.facility}/{self.host}".encode()

    @classmethod
    def checked(cls, tenant: str, facility: str, host: str) -> "Identity":
        """Return an identity whose names a collector will accept.

        Raises:
            ConfigError: a name is empty, too long, or has characters that names may not have.
        """
        try:
            return msgspec.convert({"tenant": tenant, "facility": facility, "host": host}, type=cls)
        except msgspec.ValidationError as error:
            raise ConfigError([f"settings: {error}: {tenant!r}, {facility!r}, {host!r}"]) from error


@dataclass(frozen=True, slots=True)
class SampleTick:
    """One group of metrics of all accelerators at one moment, packed.

    Attributes:
        accelerators: UUIDs of 16 bytes each, in the order of the columns.
        layout: the columns, as in the header of a samples message.
        body: a samples body of one tick, as in `telemetry/wire.py`.
        urgent: something changed that should be seen now, so the message leaves with this tick.
    """

    group: Group
    time_us: int
    accelerators: bytes
    layout: bytes
    body: bytes
    urgent: bool = False

    def joins(self, other: "SampleTick") -> bool:
        """Whether both fit into one message."""
        return self.layout == other.layout and self.accelerators == other.accelerators


@dataclass(frozen=True, slots=True)
class EventDraft:
    """Records for the events stream, to leave at once and together."""

    records: Sequence[EventRecord]


@dataclass(frozen=True, slots=True)
class QueueDraft:
    """Snapshots for the queues stream, to leave at once and together."""

    snapshots: Sequence[QueueSnapshot]


class HostMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent should know about its host after a restart; kept in the spool.

    Attributes:
        accelerators: those seen last, so that one which is lost still has its name.
    """

    driver_version: str = ""
    accelerators: tuple[Accelerator, ...] = ()


Draft = SampleTick | EventDraft | QueueDraft | HostMemory
