"""All SQL of the product, as plain files, and the loader that hands them out.

Owns `migrations/`, `queries/` and `alerts/`. It talks to no database; the programs do. A query
file holds named blocks: a line `-- name: what_it_returns`, comment lines that describe it, and
the statement. Parameters are psycopg's `%(name)s`; nothing is ever put together from strings.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import LiteralString

TIERS = ("postgres", "timescale-apache", "timescale")

_NAME_LINE = re.compile(r"^-- name: (?P<name>[a-z0-9_]+)$", re.MULTILINE)
_MIGRATION_FILE = re.compile(
    r"^(?P<number>\d{4})_(?P<title>[a-z0-9_]+)(\.(?P<tiers>[a-z+-]+))?\.sql$"
)


@cache
def queries(file: str) -> dict[str, LiteralString]:
    """Return the named blocks of `queries/<file>.sql`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a name stands twice.
    """
    text = (files(__name__) / "queries" / f"{file}.sql").read_text(encoding="utf-8")
    _, *parts = _NAME_LINE.split(text)
    blocks = dict(zip(parts[0::2], (part.strip() for part in parts[1::2]), strict=True))
    if len(blocks) * 2 != len(parts):
        raise ValueError(f"queries/{file}.sql: a name stands twice")
    # psycopg takes literal strings only; these are as good: they come with the package.
    return blocks


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema.

    Attributes:
        number: 1, 2, 3 … without gaps.
        title: from the file name.
        text: the SQL. A first line `-- no-transaction` asks to be run outside one.
    """

    number: int
    title: str
    text: LiteralString


def migrations(tier: str) -> list[Migration]:
    """Return the migrations of a storage tier, in order.

    A number has either one file for all tiers, or files that name the tiers that they are for
    (`0002_samples.postgres.sql`, `0002_samples.timescale+timescale-apache.sql`).
    """
    if tier not in TIERS:
        raise ValueError(f"{tier} is not a storage tier")
    found = [
        migration
        for file in (files(__name__) / "migrations").iterdir()
        if (migration := _read_migration(file, tier)) is not None
    ]
    return sorted(found, key=lambda migration: migration.number)


def _read_migration(file: Traversable, tier: str) -> Migration | None:
    match = _MIGRATION_FILE.match(file.name)
    if match is None or (match["tiers"] and tier not in match["tiers"].split("+")):
        return None
    return Migration(int(match["number"]), match["title"], file.read_text(encoding="utf-8"))
