"""The kernel log's lines, taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernel_log.faults import BoardName, KernelFault, parse_line
from agent.kernel_log.pci_address import normalise
from agent.kernel_log.record import parse_record
from telemetry.records import EventKind

NVLINK5 = (
    "NVRM: Xid (PCI:0018:01:00): 149, NETIR_LINK_EVT  Fatal   XC0 i0 Link 09 "
    "(0x025525c6 0x00000003 0x00000000 0x00000000 0x00000000 0x00000000)"
)


def fault_of(text: str, driver_major: int | None = None) -> KernelFault:
    fault = parse_line(text, driver_major)
    assert isinstance(fault, KernelFault)
    return fault


def test_a_record_is_split_and_its_escapes_cannot_break_the_line() -> None:
    record = parse_record(rb"3,1234,98765,-,caller=T1;NVRM: one\x0atwo \x1b[31m")
    assert record is not None
    assert (record.facility, record.level, record.sequence) == (0, 3, 1234)
    assert record.since_boot_us == 98765
    assert record.text == "NVRM: one two  [31m"


@pytest.mark.parametrize("raw", [b"", b" SUBSYSTEM=pci", b"a,b,c,-;x", b"6,1,2", b"-1,2,3,-;x"])
def test_what_is_no_record_is_none(raw: bytes) -> None:
    assert parse_record(raw) is None


def test_a_record_of_a_program_is_not_from_the_kernel() -> None:
    record = parse_record(b"12,5,7,-;NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.")
    assert record is not None
    assert not record.from_kernel


@pytest.mark.parametrize("text", ["00000000:C1:00.0", "0000:c1:00", "0000:C1:00.0"])
def test_every_spelling_of_an_address_is_one(text: str) -> None:
    assert normalise(text) == "0000:c1:00"


@pytest.mark.parametrize("text", ["", "c1:00.0", "0000:c1:00.9", "0000:c1:00\n", "x" * 99])
def test_what_is_no_address_is_nothing(text: str) -> None:
    assert normalise(text) == ""


def test_an_xid_carries_its_process_and_its_place() -> None:
    fault = fault_of(
        "NVRM: Xid (PCI:0000:84:00): 13, pid=4242, name=python3, "
        "Graphics SM Warp Exception on (GPC 2, TPC 1, SM 0): Out Of Range Address"
    )
    assert (fault.kind, fault.code, fault.pci_address) == (EventKind.XID, 13, "0000:84:00")
    assert fault.detail == {"pid": 4242, "process": "python3", "gpc": 2, "tpc": 1, "sm": 0}
    assert fault.message.startswith("Graphics SM Warp Exception")


@pytest.mark.parametrize(
    "text",
    [
        "NVRM: Xid (PCI:0000:05:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off",
        "NVRM: Xid (PCI:0000:05:00): 79, pid=<unknown>, name=<unknown>, GPU has fallen off",
        "NVRM: Xid (PCI:0000:05:00): 79, GPU has fallen off",
        "NVRM: Xid (0000:05:00): 79, GPU has fallen off",
    ],
)
def test_an_xid_of_no_process_has_none(text: str) -> None:
    assert fault_of(text) == KernelFault(EventKind.XID, 79, "0000:05:00", "GPU has fallen off", {})


def test_a_mig_instance_is_named() -> None:
    fault = fault_of("NVRM: Xid (PCI:0000:01:00 GPU-I:05 GPU-CI:02): 69, pid=7, name=a b, Class")
    assert fault.detail == {"gpu_instance": 5, "compute_instance": 2, "pid": 7, "process": "a b"}


def test_a_channel_removal_names_its_cause() -> None:
    fault = fault_of(
        "NVRM: Xid (PCI:0000:dc:00): 45, pid=1818990, name=python3, "
        "Ch 00000001 caused by previous Xid 149"
    )
    assert fault.detail["caused_by_xid"] == 149


def test_nvlink5_gives_unit_severity_link_and_sub_code() -> None:
    fault = fault_of(NVLINK5)
    assert fault.detail == {
        "unit": "NETIR_LINK_EVT",
        "severity": "fatal",
        "link": 9,
        "sub_code": 37,  # 0x025525c6: bits 20 to 25 are 100101
        "error_status": "0x00000003",
        "registers": "0x025525c6 0x00000003 0x00000000 0x00000000 0x00000000 0x00000000",
    }


@pytest.mark.parametrize(
    ("first", "sub_code"), [("0x026001c6", 38), ("0x000fe406", 0), ("0x03f00000", 63)]
)
def test_the_sub_code_is_bits_20_to_25(first: str, sub_code: int) -> None:
    assert fault_of(NVLINK5.replace("0x025525c6", first)).detail["sub_code"] == sub_code


def test_a_driver_with_the_older_layout_gives_no_sub_code() -> None:
    detail = fault_of(NVLINK5, driver_major=570).detail
    assert "sub_code" not in detail
    assert str(detail["registers"]).startswith("0x025525c6")
    assert "sub_code" in fault_of(NVLINK5, driver_major=575).detail


def test_a_nonfatal_unit_without_a_link_is_read() -> None:
    detail = fault_of(
        "NVRM: Xid (PCI:0019:01:00): 145, RLW_RXPIPE Nonfatal XC0 i0 Link -1 (0x0409a0c2 0x8)"
    ).detail
    assert (detail["unit"], detail["severity"]) == ("RLW_RXPIPE", "nonfatal")
    assert "link" not in detail


def test_nvlink_registers_of_xid_74_are_kept() -> None:
    detail = fault_of(
        "NVRM: Xid (PCI:0000:d8:00): 74, pid='<unknown>', name=<unknown>, "
        "NVLink: fatal error detected on link 14(0x100000, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0)"
    ).detail
    assert detail == {"link": 14, "registers": "0x100000 0x0 0x0 0x0 0x0 0x0 0x0"}


def test_xid_154_gives_the_action() -> None:
    detail = fault_of(
        "NVRM: Xid (PCI:0008:01:00): 154, GPU recovery action changed from 0x0 (None) "
        "to 0x2 (Node Reboot Required)"
    ).detail
    assert detail == {"recovery_action_code": 2, "recovery_action": "Node Reboot Required"}


def test_a_switch_fault_is_no_xid() -> None:
    fault = fault_of(
        "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 28006, Non-fatal, Link 46 MC TS (First)"
    )
    assert (fault.kind, fault.code, fault.pci_address) == (EventKind.SXID, 28006, "0000:c1:00")
    assert fault.detail == {"switch": 3, "severity": "nonfatal", "link": 46}


@pytest.mark.parametrize(
    "text",
    [
        "NVRM: GPU 0000:01:00.0: GPU has fallen off the bus.",
        "NVRM: GPU at 0000:01:00.0 has fallen off the bus.",
        "NVRM: The NVIDIA GPU 0000:01:00.0 NVRM: (PCI ID: 10de:2330) has NVRM: fallen off the bus",
    ],
)
def test_falling_off_the_bus_is_79_without_the_number(text: str) -> None:
    fault = fault_of(text)
    assert (fault.code, fault.pci_address) == (79, "0000:01:00")


def test_the_drivers_note_of_a_board_is_read() -> None:
    uuid = "GPU-b30686fb-50e5-b296-a563-b7746cd0b24a"
    assert parse_line(f"NVRM: GPU at PCI:0000:01:00: {uuid}") == BoardName("0000:01:00", uuid)


@pytest.mark.parametrize(
    "text",
    [
        "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  570.86.15",
        "NVRM: Xid (PCI:0000:66:00): abc, pid=2280636",
        "NVRM: Xid (PCI:nonsense): 79, x",
        "x[1]: NVRM: Xid (PCI:0000:01:00): 79, a process that is named like a fault",
        "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): garbled, Fatal",
        "pcieport 0000:00:03.1: AER: Correctable error message received",
    ],
)
def test_other_lines_are_nothing(text: str) -> None:
    assert parse_line(text) is None


def test_foreign_digits_are_not_digits() -> None:
    assert parse_line("NVRM: Xid (PCI:0000:01:00): ٧٩, x") is None


@given(st.binary(max_size=600))
def test_any_bytes_are_a_record_or_none(raw: bytes) -> None:
    record = parse_record(raw)
    assert record is None or record.text.isprintable()


PARTS = st.sampled_from(
    [
        "NVRM: ",
        "Xid (PCI:",
        "0000:01:00",
        "): ",
        "149",
        ", ",
        "pid=",
        "name=",
        "(0x",
        "fff ",
        ")",
        "nvidia-nvswitch0: ",
        "SXid (",
        "Link 9",
        "Fatal",
        " to 0x",
        "fallen off the bus",
        "154",
    ]
)


@given(st.lists(st.one_of(PARTS, st.text(max_size=5)), max_size=30))
def test_any_mixture_of_a_faults_parts_is_taken_apart_or_left(parts: list[str]) -> None:
    found = parse_line("".join(parts), None)
    if isinstance(found, KernelFault):
        assert found.code >= 0
        assert len(found.message) <= 1000
        assert len(found.detail) <= 20
