"""Frames: bytes that browsers fetch by an address made of their content, so that any may keep them.

Owns naming, compressing and forgetting them.
"""

import gzip
import hashlib
from collections import OrderedDict

FRAMES_MAX = 256
# As `assets/20-frames.js` expects before a frame that comes over the live line.
NAME_LETTERS = 24


def address(name: str) -> str:
    """Return where a browser fetches a frame."""
    return f"/frame/{name}"


class Frames:
    """The frames used last, gzipped."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def get(self, name: str) -> bytes | None:
        """Return gzipped bytes; None if there are none of that name, or none any more."""
        return self._kept.get(name)

    def keep(self, content: bytes) -> str:
        """Keep bytes and return their name."""
        # SHA-256 is an instruction of the processor, and three times as quick as BLAKE2b.
        name = hashlib.sha256(content).hexdigest()[:NAME_LETTERS]
        if name in self._kept:
            self._kept.move_to_end(name)
        else:
            self._kept[name] = gzip.compress(content, compresslevel=1, mtime=0)
            while len(self._kept) > FRAMES_MAX:
                self._kept.popitem(last=False)
        return name
