"""The bodies that Dash's renderer posts: what one must be before Dash looks at it. Pure.

Stock Dash takes a body apart without looking and answers 500 to most that are odd.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

PART_MAX = 64
# Callback -> how many inputs and states it takes.
Shapes = Mapping[str, tuple[int, int]]


class _Property(msgspec.Struct):
    """One input, state or output of a callback body."""

    id: Annotated[str, msgspec.Meta(max_length=200)]
    property: Annotated[str, msgspec.Meta(max_length=100)]
    # The only callback that runs here is Dash's own router, which takes an address.
    value: Annotated[str, msgspec.Meta(max_length=4096)] | None = None


Properties = Annotated[list[_Property], msgspec.Meta(max_length=PART_MAX)]


class _CallbackBody(msgspec.Struct):
    """What Dash's renderer posts. Callbacks here use plain ids and flat lists."""

    output: Annotated[str, msgspec.Meta(max_length=1000)]
    outputs: _Property | Properties
    inputs: Properties
    changed: Annotated[list[str], msgspec.Meta(max_length=PART_MAX)] = msgspec.field(
        name="changedPropIds", default_factory=list
    )
    state: Properties = []


_DECODER = msgspec.json.Decoder(_CallbackBody)


def odd(body: bytes, shapes: Shapes) -> str:
    """Say what is wrong with a callback body; empty if nothing is."""
    try:
        call = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"not a callback: {error}"
    shape = shapes.get(call.output)
    inputs = {f"{part.id}.{part.property}" for part in call.inputs}
    outputs = call.outputs if isinstance(call.outputs, list) else [call.outputs]
    wanted = [part.split("@")[0] for part in call.output.strip(".").split("...") if part]
    checks = (
        (shape is None, "there is no such callback"),
        (shape != (len(call.inputs), len(call.state)), "this callback takes other inputs"),
        (
            [f"{part.id}.{part.property}" for part in outputs] != wanted,
            "these are not its outputs",
        ),
        (not set(call.changed) <= inputs, "what changed is not among the inputs"),
        (not all(map(_is_sound, call.inputs)), "the address is not a path"),
    )
    return next((reason for is_odd, reason in checks if is_odd), "")


def _is_sound(part: _Property) -> bool:
    return part.property != "pathname" or (part.value or "").startswith("/")
