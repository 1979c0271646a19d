"""The wire: what goes in comes out, and nothing malformed gets in."""

import struct
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry import packing, wire
from telemetry.catalogue import CATALOGUE
from telemetry.errors import DecodeError
from telemetry.metrics import Group, Metric
from telemetry.records import (
    Accelerator,
    Dropped,
    Event,
    EventKind,
    EventRecord,
    Heartbeat,
    Holder,
    Inventory,
    Place,
    QueueSnapshot,
    Workloads,
)
from telemetry.streams import MESSAGE_BYTES_MAX

GOLDEN = Path(__file__).parent.parent / "data" / "wire"
FAST = CATALOGUE.group(Group.FAST)
UUIDS = tuple(bytes([number]) * 16 for number in range(1, 9))
HEADER = wire.Header(
    tenant="lab", facility="memphis-1", host="node-0001", boot_epoch=7, seq=42, sent_us=1
)
EVENTS: list[EventRecord] = [
    Event(time_us=5, kind=EventKind.XID, accelerator=UUIDS[0], code=79, detail={"bus": "0f:00"}),
    Inventory(
        time_us=6,
        accelerators=(Accelerator(uuid=UUIDS[0], index=0, model="H100", unsupported=("x",)),),
        place=Place(hall="C", row="14", rack="07"),
        driver_version="590.48.01",
    ),
    Dropped(time_us=7, stream="samples", boot_epoch=7, first_seq=1, last_seq=9, reason="full"),
    Heartbeat(time_us=8, last_seqs={"samples": 42}, counters={"read_failures": 3}),
]
QUEUES = [
    QueueSnapshot(time_us=5, source="vllm", queue="chat", waiting=3.0, arrivals_per_second=0.5)
]
# Records and fields that came after the first golden files were made.
LATER_EVENTS: list[EventRecord] = [
    Inventory(
        time_us=6,
        accelerators=(
            Accelerator(
                uuid=UUIDS[0],
                index=1,
                model="NVIDIA GB200",
                board_part_number="699-2G548-0201-800",
                chassis_serial="1820225000001",
                slot_number=4,
                tray_index=2,
                module_id=3,
                platform_host_id=1,
                temperature_memory_max_celsius=95,
                inforom_version="G548.0201.00.03",
                margin_shutdown_celsius=-7,
                margin_slowdown_celsius=-2,
                margin_memory_max_celsius=0,
                margin_gpu_max_celsius=0,
                fabric_cluster=UUIDS[7],
                fabric_clique_id=32766,
                mig_enabled=True,
            ),
            Accelerator(
                uuid=UUIDS[1],
                index=1,
                parent=UUIDS[0],
                gpu_instance_id=9,
                compute_instance_id=0,
                mig_profile="1g.23gb",
            ),
        ),
        library_version="13.590.48.01",
        kernel_version="6.8.0-60-generic",
        agent_version="0.1.0",
        provider="coreweave",
    ),
    Workloads(
        time_us=9,
        holders=(
            Holder(
                accelerator=UUIDS[1],
                source="kubernetes",
                job="0b7a8c1e-44d2-4f0e-9d7c-2f1d8a6b5c4d",
                step="c0ffee",
                namespace="research",
                since_us=3,
                processes=2,
                memory_mebibytes=71_000,
            ),
            Holder(accelerator=UUIDS[0], source="slurm", job="4711", step="0", user="ada"),
        ),
    ),
    Workloads(time_us=10),
]


def samples_message(
    metrics: tuple[Metric, ...] = FAST, ticks: int = 2, accelerators: int = 3
) -> bytes:
    rows = [
        [
            {
                metric.name: None if (tick + gpu + metric.id) % 5 == 0 else metric.minimum + tick
                for metric in metrics
            }
            for gpu in range(accelerators)
        ]
        for tick in range(ticks)
    ]
    header = wire.SamplesHeader(
        tenant="lab",
        facility="memphis-1",
        host="node-0001",
        boot_epoch=7,
        seq=42,
        sent_us=1,
        ticks=ticks,
        accelerators=b"".join(UUIDS[:accelerators]),
        layout=wire.layout_of(metrics),
    )
    body = packing.pack(metrics, [1_700_000_000_000_000 + t * 10**6 for t in range(ticks)], rows)
    return wire.encode_samples(header, body)


GOLDEN_MESSAGES = {
    "v1-samples.bin": samples_message(),
    "v1-events.bin": wire.encode_events(HEADER, EVENTS),
    "v1-events-later.bin": wire.encode_events(HEADER, LATER_EVENTS),
    "v1-queues.bin": wire.encode_queues(HEADER, QUEUES),
}


@pytest.mark.parametrize("name", sorted(GOLDEN_MESSAGES))
def test_f23_released_version_still_encodes_to_its_golden_file(name: str) -> None:
    assert GOLDEN_MESSAGES[name] == (GOLDEN / name).read_bytes()


def test_f23_golden_samples_still_decode_to_the_same_values() -> None:
    message = wire.decode((GOLDEN / "v1-samples.bin").read_bytes())
    samples = packing.unpack(message)
    assert message.header.host == "node-0001"
    assert samples.times_us == [1_700_000_000_000_000, 1_700_000_001_000_000]
    # Metric 1: missing where (tick + gpu + 1) is a multiple of 5; else the tick's number.
    assert samples.columns["utilization_gpu_percent"] == [0, 0, 0, 1, 1, 1]
    assert samples.columns["utilization_encoder_percent"] == [0, 0, None, 1, None, 1]


def test_f23_golden_events_and_queues_still_decode_to_the_same_records() -> None:
    events = wire.decode((GOLDEN / "v1-events.bin").read_bytes())
    later = wire.decode((GOLDEN / "v1-events-later.bin").read_bytes())
    queues = wire.decode((GOLDEN / "v1-queues.bin").read_bytes())
    assert wire.decode_events(events) == EVENTS
    assert wire.decode_events(later) == LATER_EVENTS
    assert wire.decode_queues(queues) == QUEUES


def test_f23_a_golden_file_has_every_field_that_an_accelerator_and_its_holders_have() -> None:
    kinds: tuple[type[msgspec.Struct], ...] = (Accelerator, Holder, Workloads)
    seen = {kind: set[str]() for kind in kinds}

    def look(record: msgspec.Struct) -> None:
        if type(record) in seen:
            plain = msgspec.to_builtins(record, builtin_types=(bytes,))
            seen[type(record)] |= plain.keys()

    for event in (*EVENTS, *LATER_EVENTS):
        look(event)
        for part in (*getattr(event, "accelerators", ()), *getattr(event, "holders", ())):
            look(part)
    older = {
        "vendor", "serial", "vbios_version", "pci_address", "memory_total_mebibytes",
        "power_limit_default_milliwatts", "power_limit_max_milliwatts",
        "temperature_slowdown_celsius", "temperature_shutdown_celsius", "clock_sm_max_megahertz",
        "pcie_generation_max", "pcie_width_max_lanes", "nvlinks_count", "ecc_enabled",
        "persistence_enabled",
    }  # fmt: skip
    for kind, names in seen.items():
        assert set(kind.__struct_fields__) - names <= older


@st.composite
def bodies(draw: st.DrawFn) -> tuple[list[Metric], list[int], list[list[packing.Reading]]]:
    metrics = draw(st.lists(st.sampled_from(CATALOGUE.metrics), min_size=1, unique=True))
    ticks = draw(st.integers(1, 12))
    accelerators = draw(st.integers(1, 8))
    rows: list[list[packing.Reading]] = [
        [
            {
                metric.name: draw(
                    st.none() | st.integers(metric.minimum, min(metric.maximum, 2**15 - 1))
                )
                for metric in metrics
            }
            for _ in range(accelerators)
        ]
        for _ in range(ticks)
    ]
    return metrics, [draw(st.integers(0, wire.TIME_US_MAX)) for _ in range(ticks)], rows


@settings(max_examples=30, deadline=None)
@given(bodies())
def test_samples_round_trip_with_missing_values_in_any_place(
    drawn: tuple[list[Metric], list[int], list[list[packing.Reading]]],
) -> None:
    metrics, times_us, rows = drawn
    header = wire.SamplesHeader(
        tenant="t",
        facility="f",
        host="h",
        boot_epoch=1,
        seq=1,
        ticks=len(rows),
        accelerators=b"".join(UUIDS[: len(rows[0])]),
        layout=wire.layout_of(metrics),
    )
    data = wire.encode_samples(header, packing.pack(metrics, times_us, rows))
    samples = packing.unpack(wire.decode(data))
    assert samples.times_us == times_us
    for metric in metrics:
        assert samples.columns[metric.name] == [r[metric.name] for tick in rows for r in tick]


@pytest.mark.parametrize("name", sorted(GOLDEN_MESSAGES))
def test_a_message_cut_at_any_byte_is_refused(name: str) -> None:
    data = GOLDEN_MESSAGES[name]
    for length in range(len(data)):
        with pytest.raises(DecodeError):
            wire.decode(data[:length])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(GOLDEN_MESSAGES)), st.data())
def test_flipped_bytes_give_a_message_or_a_decode_error_and_nothing_else(
    name: str, data: st.DataObject
) -> None:
    mutated = bytearray(GOLDEN_MESSAGES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    decode_whole(bytes(mutated))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=400), st.integers(1, 3))
def test_any_header_and_body_bytes_give_a_message_or_a_decode_error(
    head: bytes, body: bytes, kind: int
) -> None:
    decode_whole(wire.PREFIX.pack(wire.MAGIC, 1, kind, len(head), len(body)) + head + body)


def decode_whole(data: bytes) -> None:
    try:
        message = wire.decode(data)
        if message.kind is wire.MessageKind.SAMPLES:
            packing.unpack(message)
        elif message.kind is wire.MessageKind.EVENTS:
            wire.decode_events(message)
        else:
            wire.decode_queues(message)
    except DecodeError:
        pass


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"F", "truncated"),
        (b"x" * (MESSAGE_BYTES_MAX + 1), "oversized"),
        (b"JUNKJUNKJUNK", "magic"),
        (wire.PREFIX.pack(wire.MAGIC, 0, 1, 0, 0), "version"),
        (wire.PREFIX.pack(wire.MAGIC, wire.VERSION + 2, 1, 0, 0), "version"),
        (wire.PREFIX.pack(wire.MAGIC, 1, 9, 0, 0), "kind"),
        (wire.PREFIX.pack(wire.MAGIC, 1, 1, 5, 5), "length"),
        (wire.PREFIX.pack(wire.MAGIC, 1, 2, 0, 0), "header"),
        (wire.PREFIX.pack(wire.MAGIC, 1, 2, 1, 0) + b"\xc1", "header"),
    ],
)
def test_each_kind_of_damage_has_its_own_reason(data: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        wire.decode(data)
    assert caught.value.reason == reason


def test_a_layout_that_promises_more_than_the_body_is_refused_before_allocation() -> None:
    header = wire.SamplesHeader(
        tenant="t",
        facility="f",
        host="h",
        boot_epoch=1,
        seq=1,
        ticks=wire.TICKS_MAX,
        accelerators=b"".join(bytes([i, 1]) + b"\0" * 14 for i in range(256)),
        layout=wire.layout_of(FAST),
    )
    with pytest.raises(DecodeError, match="shape"):
        wire.decode(wire.encode_samples(header, b"\0" * 64))


def test_one_accelerator_twice_in_a_message_is_refused() -> None:
    data = samples_message().replace(UUIDS[1], UUIDS[0])
    with pytest.raises(DecodeError, match="twice"):
        wire.decode(data)


def test_f23_a_metric_of_a_later_version_is_skipped_and_its_neighbours_are_read() -> None:
    known, later = CATALOGUE.by_id[1], struct.pack("<HB", 9999, 4)
    header = wire.SamplesHeader(
        tenant="t",
        facility="f",
        host="h",
        boot_epoch=1,
        seq=1,
        ticks=1,
        accelerators=UUIDS[0],
        layout=later + wire.layout_of([known]),
    )
    body = struct.pack("<qihBB", 1, 123456, 77, 0, 0)
    samples = packing.unpack(wire.decode(wire.encode_samples(header, body)))
    assert samples.columns == {known.name: [77]}


def test_f23_fields_of_a_later_version_are_skipped() -> None:
    head = msgspec.msgpack.encode([*msgspec.to_builtins(HEADER), "a field of the future"])
    body = msgspec.msgpack.encode([msgspec.to_builtins(QUEUES[0]) | {"tag_of_2027": 1}])
    prefix = wire.PREFIX.pack(wire.MAGIC, wire.VERSION + 1, 3, len(head), len(body))
    message = wire.decode(prefix + head + body)
    assert message.header == HEADER
    assert wire.decode_queues(message) == QUEUES


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_f34_numbers_that_are_not_finite_are_refused(value: float) -> None:
    snapshot = QueueSnapshot(time_us=1, source="vllm", queue="q", waiting=value)
    message = wire.decode(wire.encode_queues(HEADER, [snapshot]))
    with pytest.raises(DecodeError, match="not_finite"):
        wire.decode_queues(message)


@pytest.mark.parametrize(
    "host",
    ["", "a" * 129, "bad\nname", "<img src=x>", "nul\0", "../../etc", "=cmd()", "\u202eevil"],
)
def test_names_that_could_harm_a_page_or_a_log_are_refused(host: str) -> None:
    head = msgspec.msgpack.encode(["t", "f", host, 1, 1, 0])
    with pytest.raises(DecodeError) as caught:
        wire.decode(wire.PREFIX.pack(wire.MAGIC, 1, 2, len(head), 0) + head)
    assert caught.value.reason == "header"


def test_a_message_over_the_limit_is_not_made() -> None:
    with pytest.raises(ValueError, match="over the limit"):
        wire.encode_events(
            HEADER, [Event(time_us=1, kind=EventKind.XID, message="x" * 1000)] * 1500
        )
