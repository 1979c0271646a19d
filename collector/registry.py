"""Names to numbers: tenants, facilities, hosts and accelerators as the tables know them.

Owns the ids and the cache of them; they are made when they are first met, outside the transaction
that stores rows, so that a cached id is always there. Inventories are applied here too: they are
newest-wins and may be applied any number of times.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

import sql
from collector.database import Connection, translated
from collector.intake import Events, Opened, Rejected, Samples
from telemetry.records import Accelerator, Event, EventRecord, Inventory, Workloads
from telemetry.wire import Header, split_uuids

# Beyond this many the caches start afresh, which is slow: two sites of the largest size that is
# leased, 440,000 accelerators on hosts of eight, fit.
CACHED_MAX = 600_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_QUERIES = sql.queries("collector_places")


@dataclass(frozen=True, slots=True)
class Host:
    """How the tables name a host, and where it stands."""

    host_id: int
    facility_id: int
    rack_id: int


class _Row(NamedTuple):
    """The accelerators that a host's last message named, and their ids."""

    accelerators: bytes
    gpu_ids: NDArray[np.int32]


# Tenant, facility and host.
_Name = tuple[str, str, str]


def timestamp(time_us: int) -> datetime:
    """Return microseconds since 1970 as the database's kind of time, exactly."""
    return EPOCH + timedelta(microseconds=time_us)


class Registry:
    """All ids that were needed so far."""

    def __init__(self) -> None:
        self._hosts: dict[_Name, Host] = {}
        self._gpus: dict[tuple[int, bytes], int] = {}
        self._rows: dict[int, _Row] = {}
        self._instances: set[int] = set()
        self._instance_ids = np.empty(0, dtype=np.int32)

    def gpu_ids(self, host: Host, accelerators: bytes) -> NDArray[np.int32]:
        """Return the ids of a header's accelerators, in their order; `learn` has seen them."""
        row = self._rows.get(host.host_id)
        if row is None or row.accelerators != accelerators:
            ids = [self._gpus[host.host_id, uuid] for uuid in split_uuids(accelerators)]
            row = self._rows[host.host_id] = _Row(accelerators, np.array(ids, dtype=np.int32))
        return row.gpu_ids

    def gpu_id(self, host: Host, uuid: bytes) -> int:
        """Return the id of one accelerator."""
        return self._gpus[host.host_id, uuid]

    def instances(self, gpu_ids: NDArray[np.int32]) -> NDArray[np.bool_] | None:
        """Return which of these are MIG instances; None where none is, as nearly everywhere."""
        if not self._instances:
            return None
        if len(self._instance_ids) != len(self._instances):
            # Only while they are being met; a fleet cut in sevenths has more than a million.
            self._instance_ids = np.fromiter(self._instances, np.int32, len(self._instances))
        found = np.isin(gpu_ids, self._instance_ids)
        return found if found.any() else None

    def forget(self) -> None:
        """Ask again for everything: the database may have been set back to an older state."""
        self._hosts.clear()
        self._gpus.clear()
        self._rows.clear()
        self._instances.clear()
        self._instance_ids = np.empty(0, dtype=np.int32)

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
        if len(self._hosts) + len(self._gpus) + len(self._rows) > CACHED_MAX:
            self.forget()
        with translated("looking up hosts"):
            names = [_name(item.header) for item in judged]
            self._learn_hosts(
                connection, {name for name in names if name is not None and name not in self._hosts}
            )
            for header, inventory in _newest_inventories(judged):
                self._apply(connection, header, inventory)
            senders = [None if name is None else self._hosts[name] for name in names]
            self._learn_gpus(connection, set(self._new_gpus(judged, senders)))
        return senders

    def _learn_hosts(self, connection: Connection, names: set[_Name]) -> None:
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
            for uuid in self._named_uuids(message, host.host_id):
                if (host.host_id, uuid) not in self._gpus:
                    yield host.host_id, uuid

    def _named_uuids(self, message: Opened | Rejected, host_id: int) -> Iterable[bytes]:
        if isinstance(message, Samples):
            row = self._rows.get(host_id)
            if row is None or row.accelerators != message.header.accelerators:
                return split_uuids(message.header.accelerators)
        elif isinstance(message, Events):
            return [uuid for record in message.records for uuid in _uuids_of(record)]
        return ()

    def _learn_gpus(self, connection: Connection, named: set[tuple[int, bytes]]) -> None:
        missing = sorted(named)
        if not missing:
            return
        met = {
            "host_ids": [host_id for host_id, _ in missing],
            "uuids": [UUID(bytes=uuid) for _, uuid in missing],
        }
        connection.execute(_QUERIES["add_accelerators"], met)
        rows: Iterable[tuple[Any, ...]] = connection.execute(_QUERIES["find_accelerators"], met)
        for host_id, uuid, gpu_id, is_instance in rows:
            self._gpus[host_id, uuid.bytes] = gpu_id
            if is_instance:
                self._instances.add(gpu_id)

    def _apply(self, connection: Connection, header: Header, inventory: Inventory) -> None:
        name = (header.tenant, header.facility, header.host)
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
        for entry in inventory.accelerators:
            gpu_id = self._gpus.get((host.host_id, entry.uuid))
            if entry.parent and gpu_id is not None:
                self._instances.add(gpu_id)
        # Where it stands is read again, since an older inventory has changed nothing.
        del self._hosts[name]
        self._learn_hosts(connection, {name})


def _name(header: Header | None) -> _Name | None:
    return None if header is None else (header.tenant, header.facility, header.host)


def _uuids_of(record: EventRecord) -> Iterable[bytes]:
    if isinstance(record, Event):
        return [record.accelerator] if len(record.accelerator) == 16 else []
    if isinstance(record, Workloads):
        return [holder.accelerator for holder in record.holders]
    return []


def _newest_inventories(
    judged: Iterable[Opened | Rejected],
) -> Iterable[tuple[Header, Inventory]]:
    newest: dict[_Name, tuple[Header, Inventory]] = {}
    for message in judged:
        if not isinstance(message, Events):
            continue
        for record in message.records:
            if isinstance(record, Inventory):
                header = message.header
                name = (header.tenant, header.facility, header.host)
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
