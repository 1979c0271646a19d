"""Records that cross a process boundary, apart from samples, which travel as packed columns.

Owns their fields and bounds. msgspec Structs, because the codec wants them; fields are only
ever added, last and with a default.
"""

from enum import IntEnum, StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

# What a name of a tenant, facility, host or queue may look like: harmless in SQL, HTML, CSV,
# file names and terminals alike.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._:/@-]*\Z"

Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=NAME_PATTERN)]
Text = Annotated[str, Meta(max_length=1024)]
ShortText = Annotated[str, Meta(max_length=128)]
Count = Annotated[int, Meta(ge=0, le=2**62)]
# 1970 to 2200; whether a time is plausible now is for the collector to judge.
UnixMicroseconds = Annotated[int, Meta(ge=0, le=7_258_118_400_000_000)]
Detail = dict[ShortText, str | int | float | bool | None]

EVENTS_PER_MESSAGE_MAX = 1000
QUEUES_PER_MESSAGE_MAX = 10_000
HOLDERS_PER_HOST_MAX = 4096
ACCELERATORS_PER_HOST_MAX = 256


class ReaderStatus(IntEnum):
    """How the reading of one accelerator went: the metric `reader_status_code`."""

    WHOLE = 0
    PARTIAL = 1
    LOST = 2
    TIMEOUT = 3
    DRIVER_MISMATCH = 4


class EventKind(StrEnum):
    """What may happen to a host or an accelerator."""

    XID = "xid"
    XID_BURST = "xid_burst"  # what followed an Xid and was not told one by one
    SXID = "sxid"  # the NVSwitch's own numbers, which mean something else than an Xid's
    GPU_LOST = "gpu_lost"
    GPU_BACK = "gpu_back"
    ECC_UNCORRECTED = "ecc_uncorrected"
    ROW_REMAP = "row_remap"
    RECOVERY_ACTION = "recovery_action"
    GPU_UNAVAILABLE = "gpu_unavailable"
    DRIVER_CHANGED = "driver_changed"
    DRIVER_HUNG = "driver_hung"
    DRIVER_BACK = "driver_back"
    AGENT_START = "agent_start"
    AGENT_STOP = "agent_stop"
    CLOCK_STEPPED = "clock_stepped"
    PORT_DOWN = "port_down"  # of an InfiniBand or RoCE adapter
    PORT_UP = "port_up"
    CERTIFICATE_EXPIRING = "certificate_expiring"  # code: whole days left
    # Written by collectors, about a host that others speak for.
    IDENTITY_REFUSED = "identity_refused"
    IDENTITY_CONFLICT = "identity_conflict"


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """Anything that travels in a message of the events or queues stream."""


class Event(Record, frozen=True, kw_only=True, tag="event"):
    """Something that happened at a time.

    Attributes:
        accelerator: 16 bytes of the accelerator's UUID; empty for an event of the host.
        code: the Xid, the recovery action, or whatever number the kind has.
        detail: evidence, by name.
    """

    time_us: UnixMicroseconds
    kind: EventKind
    accelerator: Annotated[bytes, Meta(max_length=16)] = b""
    code: Count | None = None
    message: Text = ""
    detail: Annotated[Detail, Meta(max_length=64)] = {}


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a host stands. Empty where nobody said."""

    hall: ShortText = ""
    row: ShortText = ""
    rack: ShortText = ""
    tray: ShortText = ""


class Accelerator(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One accelerator of an inventory: identity, limits, and what it cannot say.

    Attributes:
        uuid: 16 bytes; for vendors without one, a UUID5 of vendor and serial.
        index: position in the driver's own order; 0-based.
        parent: 16 bytes of the whole GPU's UUID, for a MIG instance.
        unsupported: catalogue names that this accelerator's driver does not offer.
        platform_host_id: which host of its chassis, as the chassis counts them.
        margin_shutdown_celsius: thermal headroom (T.Limit) at which the board cuts itself off; the
            other three are where it halves its clocks, and what memory and core may keep to.
        fabric_cluster: 16 bytes; accelerators of one cluster and clique reach each other.
        gpu_instance_id: with `compute_instance_id`, which instance of its parent this is.
        mig_profile: what the instance is cut to: `1g.10gb`.
    """

    uuid: Annotated[bytes, Meta(min_length=16, max_length=16)]
    index: Annotated[int, Meta(ge=0, lt=ACCELERATORS_PER_HOST_MAX)]
    vendor: ShortText = "nvidia"
    model: ShortText = ""
    serial: ShortText = ""
    board_part_number: ShortText = ""
    vbios_version: ShortText = ""
    pci_address: ShortText = ""
    chassis_serial: ShortText = ""
    slot_number: int | None = None
    tray_index: int | None = None
    module_id: int | None = None
    memory_total_mebibytes: Count | None = None
    power_limit_default_milliwatts: Count | None = None
    power_limit_max_milliwatts: Count | None = None
    temperature_slowdown_celsius: int | None = None
    temperature_shutdown_celsius: int | None = None
    temperature_memory_max_celsius: int | None = None
    clock_sm_max_megahertz: Count | None = None
    pcie_generation_max: int | None = None
    pcie_width_max_lanes: int | None = None
    nvlinks_count: int | None = None
    mig_enabled: bool | None = None
    ecc_enabled: bool | None = None
    persistence_enabled: bool | None = None
    parent: Annotated[bytes, Meta(max_length=16)] = b""
    unsupported: Annotated[tuple[ShortText, ...], Meta(max_length=256)] = ()
    inforom_version: ShortText = ""
    platform_host_id: int | None = None
    margin_shutdown_celsius: int | None = None
    margin_slowdown_celsius: int | None = None
    margin_memory_max_celsius: int | None = None
    margin_gpu_max_celsius: int | None = None
    fabric_cluster: Annotated[bytes, Meta(max_length=16)] = b""
    fabric_clique_id: Count | None = None
    gpu_instance_id: int | None = None
    compute_instance_id: int | None = None
    mig_profile: ShortText = ""


class Inventory(Record, frozen=True, kw_only=True, tag="inventory"):
    """What a host holds, sent at start, on change and every hour."""

    time_us: UnixMicroseconds
    accelerators: Annotated[tuple[Accelerator, ...], Meta(max_length=ACCELERATORS_PER_HOST_MAX)]
    place: Place = Place()
    driver_version: ShortText = ""
    library_version: ShortText = ""
    kernel_version: ShortText = ""
    agent_version: ShortText = ""
    provider: ShortText = ""


class Holder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One piece of work that holds one accelerator.

    Attributes:
        accelerator: 16 bytes of its UUID.
        source: who started the work: `slurm`, `kubernetes`, `container` or `systemd`.
        job: Slurm's job, the pod's UID, the container or the unit.
        step: Slurm's step, or the container of a pod.
        namespace: of a pod, where somebody knows it.
        user: empty where it is not to be told.
        since_us: when its first process began; None where that is not known.
    """

    accelerator: Annotated[bytes, Meta(min_length=16, max_length=16)]
    source: ShortText
    job: ShortText
    step: ShortText = ""
    namespace: ShortText = ""
    user: ShortText = ""
    since_us: UnixMicroseconds | None = None
    processes: Count = 0
    memory_mebibytes: Count = 0


class Workloads(Record, frozen=True, kw_only=True, tag="workloads"):
    """All work that holds accelerators of a host; sent at start, on change and every hour."""

    time_us: UnixMicroseconds
    holders: Annotated[tuple[Holder, ...], Meta(max_length=HOLDERS_PER_HOST_MAX)] = ()


class Dropped(Record, frozen=True, kw_only=True, tag="dropped"):
    """A range of messages that this host will never send, and why."""

    time_us: UnixMicroseconds
    stream: ShortText
    boot_epoch: Count
    first_seq: Count
    last_seq: Count
    reason: ShortText


class Heartbeat(Record, frozen=True, kw_only=True, tag="heartbeat"):
    """The agent about itself, every few seconds.

    Attributes:
        last_seqs: per stream, the last sequence number given out in this boot epoch.
        counters: what was counted since start, by name (`read_failures`, `ticks_missed` …).
    """

    time_us: UnixMicroseconds
    agent_version: ShortText = ""
    sample_interval_ms: Count = 0
    tick_duration_us: Count = 0
    spool_messages: Count = 0
    spool_bytes: Count = 0
    spool_oldest_us: UnixMicroseconds | None = None
    resident_bytes: Count = 0
    last_seqs: Annotated[dict[ShortText, Count], Meta(max_length=8)] = {}
    counters: Annotated[dict[ShortText, Count], Meta(max_length=64)] = {}
    signed: bool = False


class QueueSnapshot(Record, frozen=True, kw_only=True, tag="queue"):
    """What waits and what runs in one queue, at a time. Absent is None, never 0.

    Attributes:
        source: what was asked: `slurm`, `vllm`, `sglang`, `triton`, `prometheus`, `replay` …
        queue: partition, model or tenant queue, in the source's own word.
        unit: what one entry is: `requests` or `jobs`.
        waiting: entries that wait.
        running: entries that run.
        gpus_waiting: GPUs that the waiting entries ask for.
        gpu_seconds_waiting: the same times their expected duration.
        oldest_wait_seconds: age of the oldest entry that waits.
        wait_milliseconds: time in queue as the source reports it now.
        arrivals_per_second: rate of new entries.
    """

    time_us: UnixMicroseconds
    source: Name
    queue: Name
    unit: ShortText = "requests"
    waiting: float | None = None
    running: float | None = None
    gpus_waiting: float | None = None
    gpus_running: float | None = None
    gpu_seconds_waiting: float | None = None
    oldest_wait_seconds: float | None = None
    wait_milliseconds: float | None = None
    arrivals_per_second: float | None = None
    completions_per_second: float | None = None


EventRecord = Event | Inventory | Dropped | Heartbeat | Workloads
EventRecords = Annotated[list[EventRecord], Meta(max_length=EVENTS_PER_MESSAGE_MAX)]
QueueRecords = Annotated[list[QueueSnapshot], Meta(max_length=QUEUES_PER_MESSAGE_MAX)]
