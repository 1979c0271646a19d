"""The lines in which NVIDIA's driver reports a fault, taken apart. Pure.

Owns the grammar: Xid with process and MIG instance, NVLink-5 units with their sub-code, Xid 154's
recovery action, SXid of the switches, and a GPU that fell off the bus without a number. What a
number means, and what to do about it, is the alerts' policy. A line whose head is right and whose
rest is not understood is still a fault, with its text as evidence.

Forms differ by driver release; those known stand in the tests. Only the start of a line counts, so
a process that is named like a fault does not make one.
"""

import re
from dataclasses import dataclass

from agent.kernel_log.pci_address import PATTERN, normalise
from telemetry.records import Detail, EventKind

XID_FELL_OFF_THE_BUS = 79
XID_RECOVERY_ACTION = 154
NVLINK5_XIDS = range(144, 151)
# Older drivers lay the first register out differently, by a table that is not public.
NVLINK5_LAYOUT_DRIVER = 575
REGISTERS_MAX = 16
MESSAGE_CHARS_MAX = 1000

_XID = re.compile(
    rf"NVRM: Xid \((?:PCI:)?(?P<pci>{PATTERN})(?: GPU-I:(?P<gpu_instance>[0-9]{{1,4}}))?"
    r"(?: GPU-CI:(?P<compute_instance>[0-9]{1,4}))?\): (?P<code>[0-9]{1,9})\b[, ]*(?P<rest>.*)"
)
_SXID = re.compile(
    rf"nvidia-nvswitch(?P<switch>[0-9]{{1,4}}): SXid \(PCI:(?P<pci>{PATTERN})\): "
    r"(?P<code>[0-9]{1,9})\b[, ]*(?P<rest>.*)"
)
_ADDRESS = re.compile(PATTERN)
_BOARD = re.compile(rf"NVRM: GPU at PCI:(?P<pci>{PATTERN}): (?P<uuid>GPU-[0-9a-f-]{{36}})$")

_PROCESS = re.compile(r"pid=(?P<pid>[0-9]{1,10}|'?<unknown>'?), name=(?P<name>[^,]{0,64}), ?")
_CAUSE = re.compile(r"caused by previous Xid (?P<caused_by_xid>[0-9]{1,9})")
_UNIT_PLACE = re.compile(
    r"\(GPC (?P<gpc>[0-9]{1,3}), TPC (?P<tpc>[0-9]{1,3})(?:, SM (?P<sm>[0-9]{1,3}))?\)"
)
_LINK = re.compile(r"\b[Ll]ink (?P<link>[0-9]{1,3})\b")
_SEVERITY = re.compile(r"\b(?P<severity>Fatal|Non-?fatal|FATAL|NON-?FATAL)\b")
_NVLINK5_UNIT = re.compile(r"(?P<unit>[A-Z][A-Z0-9_]{1,40})\s+(?:Fatal|Non-?fatal)\b")
_REGISTERS = re.compile(r"[(\[]\s*(0x[0-9a-fA-F]{1,16}(?:[\s,]+0x[0-9a-fA-F]{1,16})*)\s*[)\]]")
_ACTION = re.compile(r"to 0x(?P<code>[0-9a-fA-F]{1,2}) \((?P<words>[^)]{1,64})\)")


@dataclass(frozen=True, slots=True)
class KernelFault:
    """What one line reports.

    Attributes:
        kind: `xid` or `sxid`.
        pci_address: of the GPU or switch, as `0000:c1:00`; empty where the line has none.
        message: the line without the driver's prefix.
        detail: what could be taken apart, by name.
    """

    kind: EventKind
    code: int
    pci_address: str
    message: str
    detail: Detail


@dataclass(frozen=True, slots=True)
class BoardName:
    """The driver's note of which board sits where, written before its first Xid."""

    pci_address: str
    uuid_text: str


def parse_line(text: str, driver_major: int | None = None) -> KernelFault | BoardName | None:
    """Return what a line of the kernel log says about a board, or None for all other lines.

    Args:
        text: one line, without the device's head.
        driver_major: first number of the driver's version, where known.
    """
    if found := _XID.match(text):
        return _xid(found, driver_major)
    if found := _SXID.match(text):
        return _sxid(found)
    if found := _BOARD.match(text):
        return BoardName(normalise(found["pci"]), found["uuid"])
    if text.startswith("NVRM: ") and "fallen off the bus" in text:
        address = _ADDRESS.search(text)
        pci = normalise(address[0]) if address else ""
        return KernelFault(EventKind.XID, XID_FELL_OFF_THE_BUS, pci, _message(text[6:]), {})
    return None


def _xid(found: re.Match[str], driver_major: int | None) -> KernelFault:
    code, rest = int(found["code"]), found["rest"]
    detail: Detail = _numbers(found, "gpu_instance", "compute_instance")
    if process := _PROCESS.match(rest):
        if process["pid"].isdigit():
            detail |= {"pid": int(process["pid"]), "process": process["name"].strip()}
        rest = rest[process.end() :]
    for pattern in (_CAUSE, _UNIT_PLACE, _LINK):
        if part := pattern.search(rest):
            detail |= _numbers(part, *part.groupdict())
    registers = _registers(rest, detail)
    if code in NVLINK5_XIDS:
        _nvlink5(rest, registers, driver_major, detail)
    if code == XID_RECOVERY_ACTION and (action := _ACTION.search(rest)):
        detail["recovery_action_code"] = int(action["code"], 16)
        detail["recovery_action"] = action["words"]
    return KernelFault(EventKind.XID, code, normalise(found["pci"]), _message(rest), detail)


def _nvlink5(rest: str, registers: list[int], driver_major: int | None, detail: Detail) -> None:
    if unit := _NVLINK5_UNIT.match(rest):
        detail["unit"] = unit["unit"]
    if severity := _SEVERITY.search(rest):
        detail["severity"] = _severity(severity["severity"])
    layout_known = driver_major is None or driver_major >= NVLINK5_LAYOUT_DRIVER
    if len(registers) > 1 and layout_known:
        detail["sub_code"] = registers[0] >> 20 & 0x3F
        detail["error_status"] = f"0x{registers[1]:08x}"


def _sxid(found: re.Match[str]) -> KernelFault:
    rest = found["rest"]
    detail: Detail = _numbers(found, "switch")
    if severity := _SEVERITY.match(rest):
        detail["severity"] = _severity(severity["severity"])
    if link := _LINK.search(rest):
        detail |= _numbers(link, "link")
    code, pci = int(found["code"]), normalise(found["pci"])
    return KernelFault(EventKind.SXID, code, pci, _message(rest), detail)


def _registers(rest: str, detail: Detail) -> list[int]:
    """Return the hexadecimal words of a line, as far as there are any, and keep them as text."""
    found = _REGISTERS.search(rest)
    if found is None:
        return []
    words = re.split(r"[\s,]+", found[1])[:REGISTERS_MAX]
    detail["registers"] = " ".join(words)
    return [int(word, 16) for word in words]


def _numbers(found: re.Match[str], *names: str) -> Detail:
    return {name: int(found[name]) for name in names if found[name] is not None}


def _severity(word: str) -> str:
    return "nonfatal" if word.lower().startswith("non") else "fatal"


def _message(text: str) -> str:
    return text.strip()[:MESSAGE_CHARS_MAX]
