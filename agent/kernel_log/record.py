r"""The format of `/dev/kmsg`: `priority,sequence,microseconds,flags[,…];text`. Pure.

Owns splitting a record. Unprintable bytes come as `\xNN`, which may spell line breaks; they leave
here as spaces, so that a text is one line whatever somebody made the kernel print.
"""

import re
from dataclasses import dataclass

KERNEL_FACILITY = 0
TEXT_CHARS_MAX = 2048

_HEAD = re.compile(rb"(\d{1,10}),(\d{1,20}),(\d{1,20}),[^;]*;")
_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})")


@dataclass(frozen=True, slots=True)
class KernelRecord:
    """One record.

    Attributes:
        facility: who wrote it; a program that writes into the log can be anything but the kernel.
        sequence: counts from 0 at boot.
        since_boot_us: microseconds of the kernel's monotonic clock.
    """

    facility: int
    level: int
    sequence: int
    since_boot_us: int
    text: str

    @property
    def from_kernel(self) -> bool:
        """Whether the kernel itself wrote it."""
        return self.facility == KERNEL_FACILITY


def parse_record(raw: bytes) -> KernelRecord | None:
    """Return the record of one line, or None for a continuation or for anything else."""
    head = _HEAD.match(raw)
    if head is None:
        return None
    priority, sequence, since_boot_us = map(int, head.groups())
    return KernelRecord(
        facility=priority >> 3,
        level=priority & 7,
        sequence=sequence,
        since_boot_us=since_boot_us,
        text=_clean(raw[head.end() : head.end() + TEXT_CHARS_MAX]),
    )


def _clean(raw: bytes) -> str:
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), raw.decode("utf-8", "replace"))
    return "".join(c if c.isprintable() else " " for c in text).strip()
