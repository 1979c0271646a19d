"""Scripts and styles of ours, each joined into one file that a browser keeps for good.

Owns their joining and their addresses, which change with their content. A page needs all of them:
two dozen requests stood between a reader and the first picture.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, Response

FOREVER = "public, max-age=31536000, immutable"
# In the document's head by itself, before anything is painted.
ALONE = "early.js"
MEDIA_TYPES = {"js": "text/javascript", "css": "text/css"}


@dataclass(frozen=True, slots=True)
class Program:
    """One joined file: its kind, its content gzipped, and the address that follows from it."""

    kind: str
    packed: bytes
    address: str


def join(folder: Path, kind: str) -> Program:
    """Join all files of a kind (`js`, `css`) in the order of their names."""
    files = sorted(file for file in folder.glob(f"*.{kind}") if file.name != ALONE)
    content = "\n".join(file.read_text(encoding="utf-8") for file in files).encode()
    name = hashlib.blake2b(content, digest_size=8).hexdigest()
    return Program(kind, gzip.compress(content, mtime=0), f"/assets/program-{name}.{kind}")


def add_routes(server: FastAPI, programs: list[Program]) -> None:
    """Serve them; before Dash's own folder of assets, which lies at the same place."""
    for program in programs:
        _add_route(server, program)


def _add_route(server: FastAPI, program: Program) -> None:
    headers = {"content-encoding": "gzip", "cache-control": FOREVER}

    @server.get(program.address)
    async def joined() -> Response:
        return Response(program.packed, headers=headers, media_type=MEDIA_TYPES[program.kind])


def tags(programs: list[Program]) -> tuple[str, str]:
    """Return what the document's head and the end of its body say to load them."""
    by_kind = {program.kind: program.address for program in programs}
    head = (
        f'<link rel="stylesheet" href="{by_kind["css"]}">'
        f'<link rel="preload" href="{by_kind["js"]}" as="script">'
        '<link rel="preload" href="/assets/fonts/inter-latin.woff2" as="font" crossorigin>'
    )
    return head, f'<script src="{by_kind["js"]}"></script>'
