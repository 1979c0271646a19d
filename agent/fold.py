"""Joining one-tick samples bodies into the body of one message, without unpacking a value.

Owns the arithmetic of the packed layout that `telemetry/wire.py` describes. Used for every
message, and for the ticks that an agent which died has left in its spool.
"""

from collections.abc import Sequence

from agent.drafts import SampleTick
from telemetry.wire import UUID_BYTES, mask_bytes, parse_layout


def fold(ticks: Sequence[SampleTick]) -> bytes:
    """Return the body of a message of these ticks, which all join each other."""
    first = ticks[0]
    if len(ticks) == 1:
        return first.body
    bodies = [tick.body for tick in ticks]
    accelerators = len(first.accelerators) // UUID_BYTES
    layout = parse_layout(first.layout)
    parts = [body[:8] for body in bodies]
    at = 8
    for _, width in layout.entries:
        end = at + accelerators * width
        parts.extend(body[at:end] for body in bodies)
        at = end
    mask_size = mask_bytes(accelerators)
    for _ in layout.entries:
        parts.append(_join_masks([body[at : at + mask_size] for body in bodies], accelerators))
        at += mask_size
    return b"".join(parts)


def _join_masks(masks: Sequence[bytes], accelerators: int) -> bytes:
    if accelerators % 8 == 0:
        return b"".join(masks)
    bits = 0
    for tick, mask in enumerate(masks):
        bits |= int.from_bytes(mask, "little") << (tick * accelerators)
    return bits.to_bytes(mask_bytes(accelerators * len(masks)), "little")
