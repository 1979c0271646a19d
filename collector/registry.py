"""Names to numbers: tenants, facilities, hosts and accelerators as the tables know them.

Owns the ids of places and hosts, and the making of all ids: when they are first met, outside the
transaction that stores rows, so that an id that is known here is always there. Inventories are
applied here too: they are newest-wins and may be applied any number of times.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

import sql
from collector.accelerators import AcceleratorBook, Found, Row
from collector.database import Connection, translated
from collector.host_names import HOSTS_MAX, HostName, host_name
from collector.intake import Events, Opened, Rejected, Samples
from telemetry.records import Accelerator, Event, EventRecord, Inventory, Workloads
from telemetry.wire import UUID_BYTES, Header

# Beyond so many the books start afresh, as beyond HOSTS_MAX: 440,000 and their sevenths fit.
ACCELERATORS_MAX = 4_000_000
# So many are asked for in one statement: what is sent and what comes back is held in memory.
ASKED_AT_ONCE = 20_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_QUERIES = sql.queries("collector_places")


@dataclass(frozen=True, slots=True)
class Host:
    """How the tables name a host, and where it stands."""

    host_id: int
    facility_id: int
    rack_id: int


def timestamp(time_us: int) -> datetime:
    """Return microseconds since 1970 as the database's kind of time, exactly."""
    return EPOCH + timedelta(microseconds=time_us)


class Registry:
    """All ids that were needed so far."""

    def __init__(self) -> None:
        self._hosts: dict[HostName, Host] = {}
        self._accelerators = AcceleratorBook()

    def is_full(self) -> bool:
        """Whether what is known is as much as may be kept."""
        return len(self._hosts) > HOSTS_MAX or self._accelerators.count > ACCELERATORS_MAX

    def accelerators(self, host: Host, uuids: bytes) -> Row:
        """Return the ids of a header's accelerators, in their order; `learn` has seen them."""
        return self._accelerators.row(host.host_id, uuids)

    def gpu_id(self, host: Host, uuid: bytes) -> int:
        """Return the id of one accelerator; `learn` has seen it."""
        return self._accelerators.gpu_id(host.host_id, uuid)

    def forget(self) -> None:
        """Ask again for everything: the database may have been set back to an older state."""
        self._hosts.clear()
        self._accelerators.forget()

    def forget_places(self) -> None:
        """Ask again where hosts stand, which whoever has a host's partition may have changed.

        What accelerators are called stays; a fleet's are too many to ask for at every claim.
        """
        self._hosts.clear()

    def learn(
        self, connection: Connection, judged: Sequence[Opened | Rejected]
    ) -> list[Host | None]:
        """Make and look up whatever these messages name, and apply their inventories.

        Returns each message's sender, None where its header could not be read. The senders of
        rejected messages are learnt too: their numbers are accounted for.

        Raises:
            RetryableError: the database is away.
            RefusedDataError: an inventory holds what the tables cannot.
        """
        with translated("looking up hosts"):
            names = [None if item.header is None else host_name(item.header) for item in judged]
            self._learn_hosts(
                connection, {name for name in names if name is not None and name not in self._hosts}
            )
            for header, inventory in _newest_inventories(judged):
                self._apply(connection, header, inventory)
            senders = [None if name is None else self._hosts[name] for name in names]
            self._learn_gpus(connection, set(self._new_gpus(judged, senders)))
        return senders

    def _learn_hosts(self, connection: Connection, names: set[HostName]) -> None:
        missing = sorted(names)
        if not missing:
            return
        tenants, facilities, hosts = map(list, zip(*missing, strict=True))
        met = {"tenants": tenants, "facilities": facilities, "hosts": hosts}
        with connection.transaction():
            for step in ("add_facilities", "add_racks", "add_hosts"):
                connection.execute(_QUERIES[step], met)
        for tenant, facility, host, *ids in connection.execute(_QUERIES["find_hosts"], met):
            name = (str(tenant), str(facility), str(host))
            self._hosts[name] = Host(*(int(str(number)) for number in ids))

    def _new_gpus(
        self, judged: Iterable[Opened | Rejected], senders: Iterable[Host | None]
    ) -> Iterable[tuple[int, bytes]]:
        for message, host in zip(judged, senders, strict=True):
            if host is None:
                continue
            for uuids in _named_uuids(message):
                for uuid in self._accelerators.unknown(host.host_id, uuids):
                    yield host.host_id, uuid

    def _learn_gpus(self, connection: Connection, named: set[tuple[int, bytes]]) -> None:
        missing = sorted(named)
        for start in range(0, len(missing), ASKED_AT_ONCE):
            asked = missing[start : start + ASKED_AT_ONCE]
            met = {
                "host_ids": [host_id for host_id, _ in asked],
                "uuids": [UUID(bytes=uuid) for _, uuid in asked],
            }
            connection.execute(_QUERIES["add_accelerators"], met)
            rows: Iterable[tuple[Any, ...]] = connection.execute(_QUERIES["find_accelerators"], met)
            self._accelerators.learn(
                Found(host_id, uuid.bytes, gpu_id, is_instance)
                for host_id, uuid, gpu_id, is_instance in rows
            )

    def _apply(self, connection: Connection, header: Header, inventory: Inventory) -> None:
        name = host_name(header)
        host = self._hosts[name]
        time = timestamp(inventory.time_us)
        place = msgspec.structs.asdict(inventory.place) | {"facility_id": host.facility_id}
        with connection.transaction():
            row = connection.execute(_QUERIES["place_rack"], place).fetchone()
            if row is None:
                raise AssertionError("an upsert returns its row")
            about = msgspec.structs.asdict(inventory) | place
            about |= {"rack_id": row[0], "host_id": host.host_id, "time": time}
            connection.execute(_QUERIES["place_host"], about)
            connection.cursor().executemany(
                _QUERIES["describe_accelerator"],
                [_described(entry, host, time) for entry in inventory.accelerators],
            )
            uuids = [UUID(bytes=entry.uuid) for entry in inventory.accelerators]
            connection.execute(_QUERIES["note_absent"], about | {"uuids": uuids})
        self._accelerators.note_instances(
            host.host_id, {entry.uuid for entry in inventory.accelerators if entry.parent}
        )
        # Where it stands is read again, since an older inventory has changed nothing.
        del self._hosts[name]
        self._learn_hosts(connection, {name})


def _named_uuids(message: Opened | Rejected) -> Iterable[bytes]:
    """Return the accelerators that a message names, in strings of one or more."""
    if isinstance(message, Samples):
        return [message.header.accelerators]
    if isinstance(message, Events):
        return [uuid for record in message.records for uuid in _uuids_of(record)]
    return ()


def _uuids_of(record: EventRecord) -> Iterable[bytes]:
    if isinstance(record, Event):
        return [record.accelerator] if len(record.accelerator) == UUID_BYTES else []
    if isinstance(record, Workloads):
        return [holder.accelerator for holder in record.holders]
    return []


def _newest_inventories(
    judged: Iterable[Opened | Rejected],
) -> Iterable[tuple[Header, Inventory]]:
    newest: dict[HostName, tuple[Header, Inventory]] = {}
    for message in judged:
        if not isinstance(message, Events):
            continue
        for record in message.records:
            if isinstance(record, Inventory):
                header = message.header
                name = host_name(header)
                if name not in newest or newest[name][1].time_us <= record.time_us:
                    newest[name] = (header, record)
    return newest.values()


def _described(entry: Accelerator, host: Host, time: datetime) -> dict[str, Any]:
    """Return the parameters of `describe_accelerator`."""
    return msgspec.structs.asdict(entry) | {
        "host_id": host.host_id,
        "uuid": UUID(bytes=entry.uuid),
        "parent_uuid": UUID(bytes=entry.parent) if len(entry.parent) == 16 else None,
        "unsupported": list(entry.unsupported),
        "fabric_cluster": (
            UUID(bytes=entry.fabric_cluster) if len(entry.fabric_cluster) == 16 else None
        ),
        "time": time,
    }
