"""Who a message is really from: its signature, and whether two machines use one identity.

Owns the judgement on identity, message by message, and the summary of what was found. A message
whose claim to a host is not proven says nothing about that host: it goes to quarantine without a
header, so that it makes no host, moves no mark and closes no gap.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

import sql
from collector.database import Connection, translated
from collector.host_names import HostName, host_name
from collector.intake import Opened, Rejected
from collector.key_ring import KeyRing
from collector.registry import timestamp
from collector.twins import Twins
from telemetry.clock import Clock
from telemetry.errors import DecodeError
from telemetry.signing import is_signed_by, key_id_of
from telemetry.wire import Header

NOTE_EVERY_S = 2.0
# So many claimed hosts are told apart between two notes; a flood of invented names is one entry.
CLAIMS_MAX = 200
TWO_MACHINES = "two_machines"
# A message made under a key that was replaced since may still be on its way for so long.
LATE_DAYS_MAX = 7.0

_QUERIES = sql.queries("agent_keys")
_S_PER_DAY = 86_400.0
_US_PER_S = 1_000_000

NOBODY: HostName = ("", "", "")


@dataclass(slots=True)
class Finding:
    """What was found of one claimed host, for one reason, since the last note."""

    detail: str
    key_id: bytes | None
    refused: bool
    messages: int = 0


@dataclass(slots=True)
class IdentityCheck:
    """Judges messages in the order of their partitions.

    Attributes:
        required: whether what is not proven is refused; else it is only noted.
        unsigned: messages that carried no signature and were let through.
        verified: messages whose signature was checked and is right.
    """

    ring: KeyRing | None
    clock: Clock
    required: bool = False
    unsigned: int = 0
    verified: int = 0
    _twins: Twins = field(default_factory=Twins)
    _findings: dict[tuple[HostName, str], Finding] = field(default_factory=dict)
    _due_s: float = float("-inf")

    @classmethod
    def make(cls, mode: str, connection: Connection, clock: Clock) -> "IdentityCheck":
        """Return the check of a mode: `off`, `observe` or `required`.

        Raises:
            RetryableError: the database is away.
        """
        ring = None if mode == "off" else KeyRing(connection, clock)
        return cls(ring, clock, required=mode == "required")

    def judge(self, opened: Iterable[Opened | Rejected]) -> list[Opened | Rejected]:
        """Return the messages, those that are not proven to be their host's as rejected.

        Raises:
            RetryableError: the database is away.
        """
        if self.ring is None:
            return [self._watched(item) for item in opened]
        self.ring.refresh()
        now_s = self.clock.now_us() / _US_PER_S
        return [self._judge(item, self.ring, now_s) for item in opened]

    def note(self, connection: Connection) -> None:
        """Write down what was found, every few seconds.

        Raises:
            RetryableError: the database is away.
        """
        now_s = self.clock.monotonic_s()
        if not self._findings or now_s < self._due_s:
            return
        self._due_s = now_s + NOTE_EVERY_S
        found, self._findings = list(self._findings.items()), {}
        with translated("noting identities"):
            connection.execute(
                _QUERIES["note_findings"], _columns(found, timestamp(self.clock.now_us()))
            )

    def _judge(self, item: Opened | Rejected, ring: KeyRing, now_s: float) -> Opened | Rejected:
        header = item.header
        if header is None:
            return item
        envelope = item.received.signature
        if envelope is None and not self.required:
            self.unsigned += 1
            return self._watched(item)
        try:
            _require_proof(header, envelope, item.received.value, ring, now_s)
        except DecodeError as fault:
            return self._doubted(item, header, fault)
        self.verified += 1
        return self._watched(item)

    def _doubted(
        self, item: Opened | Rejected, header: Header, fault: DecodeError
    ) -> Opened | Rejected:
        envelope = item.received.signature
        key_id = None if envelope is None else key_id_of(envelope)
        self._find(host_name(header), fault.reason, fault.detail, key_id, refused=self.required)
        if not self.required:
            return self._watched(item)
        if isinstance(item, Rejected):
            # It is refused for what it is already; nothing of what it claims is believed.
            return replace(item, header=None)
        return Rejected(item.received, fault.reason, fault.detail)

    def _watched(self, item: Opened | Rejected) -> Opened | Rejected:
        if not isinstance(item, Rejected):
            header = item.header
            detail = self._twins.see(host_name(header), header.boot_epoch, header.sent_us)
            if detail:
                self._find(host_name(header), TWO_MACHINES, detail, None, refused=False)
        return item

    def _find(
        self, name: HostName, reason: str, detail: str, key_id: bytes | None, *, refused: bool
    ) -> None:
        key = (name, reason)
        if key not in self._findings and len(self._findings) >= CLAIMS_MAX:
            key = (NOBODY, reason)
        finding = self._findings.setdefault(key, Finding(detail, key_id, refused))
        finding.messages += 1


def _require_proof(
    header: Header, envelope: bytes | None, value: bytes, ring: KeyRing, now_s: float
) -> None:
    """Make sure that a message is its host's.

    What costs nothing is asked first, so that a flood of nonsense costs no cryptography.

    Raises:
        DecodeError: with reason `unsigned`, `unknown_key`, `key_not_approved`, `revoked_key`,
            `wrong_host`, `expired_key` or `bad_signature`.
    """
    message = f"a message of {'/'.join(host_name(header))}"
    if envelope is None:
        raise DecodeError("unsigned", f"{message} without a signature")
    key_id = key_id_of(envelope)
    if key_id is None:
        raise DecodeError("bad_signature", f"{message} with a signature of no known form")
    key = ring.find(key_id)
    if key is None:
        raise DecodeError("unknown_key", f"{message} signed by {key_id.hex()}, which nobody knows")
    signer = f"the key of {'/'.join(key.host)}"
    if key.state == "revoked":
        raise DecodeError("revoked_key", f"{message}; {signer} was revoked")
    if key.state != "approved":
        raise DecodeError("key_not_approved", f"{message}; {signer} waits for approval")
    if key.host != host_name(header):
        raise DecodeError("wrong_host", f"{message} signed by {signer}")
    if key.until_s is not None and now_s > key.until_s:
        made_s = header.sent_us / _US_PER_S
        if made_s > key.until_s or now_s > key.until_s + LATE_DAYS_MAX * _S_PER_DAY:
            raise DecodeError("expired_key", f"{message}; {signer} is past its end")
    if not is_signed_by(key.public_key, envelope, value):
        raise DecodeError("bad_signature", f"{message} that does not fit its signature")


def _columns(found: list[tuple[tuple[HostName, str], Finding]], now: datetime) -> dict[str, object]:
    return {
        "tenants": [name[0] for (name, _), _ in found],
        "facilities": [name[1] for (name, _), _ in found],
        "hosts": [name[2] for (name, _), _ in found],
        "reasons": [reason for (_, reason), _ in found],
        "key_ids": [finding.key_id for _, finding in found],
        "messages": [finding.messages for _, finding in found],
        "refused": [finding.refused for _, finding in found],
        "details": [finding.detail for _, finding in found],
        "now": now,
    }
