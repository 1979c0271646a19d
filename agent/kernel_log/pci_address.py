"""PCI addresses as every source spells them, brought to one form. Pure."""

import re

# Domain of 4 or 8 digits, bus, device, and a function that the Xid lines leave out.
PATTERN = r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}(?:\.[0-7])?"
_WHOLE = re.compile(PATTERN)


def normalise(text: str) -> str:
    """Return `0000:c1:00` for any spelling of it, or nothing for what is no address."""
    if _WHOLE.fullmatch(text) is None:
        return ""
    domain, bus, device = text.partition(".")[0].lower().split(":")
    return f"{int(domain, 16):04x}:{bus}:{device}"
