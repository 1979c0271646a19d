"""What happened to one board within a few minutes, told by two witnesses. Pure.

Owns pairing a fault's two witnesses, telling the root first, and counting the rest. Which board,
and when a burst begins and ends, is `xid_join.py`'s business.
"""

from collections import Counter
from dataclasses import dataclass, field

from msgspec import structs

from telemetry.records import Detail, Event, EventKind

KERNEL_LOG = "kernel_log"
NVML = "nvml"
# "Pre-emptive channel removal": noise behind anything else, a message of its own when alone.
CONSEQUENCES = frozenset({45})
# The other witness may be slow; later than this it tells of another fault.
LATE_S = 10.0
FAULTS_PER_BURST_MAX = 16
LATE_LINE_CHARS_MAX = 500

Signature = tuple[EventKind, int | None, int | None]


def signature_of(event: Event) -> Signature:
    """Return what makes a fault another one: its number, and what refines the number."""
    refined = event.detail.get("sub_code", event.detail.get("recovery_action_code"))
    return event.kind, event.code, refined if isinstance(refined, int) else None


def witness_of(event: Event) -> str:
    """Return who tells of it: the kernel log says so, NVML does not."""
    return KERNEL_LOG if event.detail.get("witness") == KERNEL_LOG else NVML


@dataclass(slots=True)
class Fault:
    """One signature within a burst.

    Attributes:
        evidence: the first event of each witness.
        counts: how many events of each witness.
        settled: its wait is over; it was told, or it is only counted.
        told: it left as an event of its own.
        late: evidence that came after it had left.
    """

    signature: Signature
    first_s: float
    evidence: dict[str, Event] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    settled: bool = False
    told: bool = False
    late: dict[str, Event] = field(default_factory=dict)

    def note(self, witness: str, event: Event) -> None:
        """Take one more event of this fault."""
        self.counts[witness] += 1
        if witness not in self.evidence:
            self.evidence[witness] = event
            if self.told:
                self.late[witness] = event

    @property
    def untold(self) -> int:
        """How often it happened without being told. Two witnesses of one fault count it once."""
        return max(self.counts.values()) - self.told

    @property
    def best(self) -> Event:
        """The event with more to say: the driver's own line where there is one."""
        return self.evidence.get(KERNEL_LOG) or self.evidence[NVML]

    @property
    def consequence(self) -> bool:
        """Whether it only follows from something else, if there is something else."""
        kind, code, _ = self.signature
        return "caused_by_xid" in self.best.detail or (
            kind is EventKind.XID and code in CONSEQUENCES
        )


class Burst:
    """The faults of one board. It begins with an event's time and ends when it is finished."""

    def __init__(self, opened_s: float, opened_us: int) -> None:
        self.opened_s = opened_s
        self.opened_us = opened_us
        self._last_us = opened_us
        self._faults: list[Fault] = []
        self._overflow = 0

    def note(self, event: Event, now_s: float) -> None:
        """Take an event: a new fault, a second witness, or a repeat."""
        self._last_us = max(self._last_us, event.time_us)
        fault = self._find(event, now_s)
        if fault is None and len(self._faults) >= FAULTS_PER_BURST_MAX:
            self._overflow += 1
            return
        if fault is None:
            fault = Fault(signature_of(event), now_s)
            self._faults.append(fault)
        fault.note(witness_of(event), event)

    def tell(self, now_s: float, hold_s: float) -> list[Event]:
        """Return the faults whose wait is over, the root first."""
        ready = [
            fault
            for fault in self._faults
            if not fault.settled
            and (
                now_s - fault.first_s >= hold_s
                or (len(fault.evidence) > 1 and not fault.consequence)
            )
        ]
        if not ready:
            return []
        root = self._root()
        ready.sort(key=lambda fault: (fault is not root, fault.best.time_us))
        for fault in ready:
            fault.settled = True
            fault.told = fault is root or not fault.consequence
        return [_joined(fault, root) for fault in ready if fault.told]

    def next_due_s(self, hold_s: float, burst_s: float) -> float:
        """Return when the next wait of a fault is over, or else the burst itself."""
        held = [fault.first_s + hold_s for fault in self._faults if not fault.settled]
        return min([*held, self.opened_s + burst_s])

    def finish(self) -> list[Event]:
        """Tell what is still held, then how much was only counted."""
        return [*self.tell(float("inf"), 0), *self._summary()]

    def _find(self, event: Event, now_s: float) -> Fault | None:
        """Return the fault that an event tells again, or tells as the second witness."""
        signature, witness = signature_of(event), witness_of(event)
        same_code = [fault for fault in self._faults if fault.signature[:2] == signature[:2]]
        for fault in same_code:
            if witness not in fault.evidence and now_s - fault.first_s <= LATE_S:
                if fault.signature[2] is None:
                    # NVML knows no sub-code; the first line of the number is its partner.
                    fault.signature = signature
                if signature[2] in (None, fault.signature[2]):
                    return fault
        for fault in same_code:
            if fault.signature == signature or witness == NVML:
                return fault
        return None

    def _root(self) -> Fault:
        """The first fault that is no consequence, else the first one."""
        grave = [fault for fault in self._faults if not fault.consequence]
        return min(grave or self._faults, key=lambda fault: fault.best.time_us)

    def _summary(self) -> list[Event]:
        """Return one event for all that was only counted, or none when there was nothing."""
        untold = {str(f.signature[1]): 0 for f in self._faults if f.untold}
        for fault in self._faults:
            if fault.untold:
                untold[str(fault.signature[1])] += fault.untold
        detail: Detail = {
            "suppressed": sum(untold.values()) + self._overflow,
            "suppressed_codes": ", ".join(f"{code} x {n}" for code, n in untold.items()),
        }
        for fault in self._faults:
            for witness, event in fault.late.items():
                name = f"late_{fault.signature[1]}_{witness}"
                detail[name] = event.message[:LATE_LINE_CHARS_MAX] or event.time_us
        if not detail["suppressed"] and len(detail) == 2:
            return []
        root = self._root().best
        detail["burst_root_time_us"] = root.time_us
        if "pci_address" in root.detail:
            detail["pci_address"] = root.detail["pci_address"]
        return [
            structs.replace(
                root,
                time_us=self._last_us,
                kind=EventKind.XID_BURST,
                message=f"{detail['suppressed']} more after {root.kind} {root.code}",
                detail=detail,
            )
        ]


def _joined(fault: Fault, root: Fault) -> Event:
    """Return one event with the evidence of both witnesses, stamped by the better one."""
    detail: Detail = {}
    for witness in (NVML, KERNEL_LOG):
        if witness in fault.evidence:
            detail |= fault.evidence[witness].detail
    detail["witness"] = " ".join(sorted(fault.evidence))
    if len(fault.evidence) > 1:
        detail["nvml_time_us"] = fault.evidence[NVML].time_us
    if root is not fault:
        detail["burst_root_code"] = root.signature[1]
        detail["burst_root_time_us"] = root.best.time_us
    return structs.replace(fault.best, detail=detail)
