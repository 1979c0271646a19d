"""The operator's side of agents' keys: requests, approvals, revocations, and who made them.

Owns the changes to `agent_keys`, each in one transaction with its line in the audit. What a
collector does with a key is `key_ring.py` and `identity.py`.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

import sql
from collector.database import Connection, translated
from telemetry.errors import ConfigError
from telemetry.signing import fingerprint_of, read_request, show_fingerprint

HISTORY_MAX = 1000
# 48 bits of a fingerprint that nobody chose; two keys that begin alike are told, not guessed at.
PREFIX_CHARS_MIN = 8

_QUERIES = sql.queries("agent_keys")
_SCHEME = "SHA256:"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the operator sees it."""

    fingerprint: bytes
    tenant: str
    facility: str
    host: str
    state: str = "requested"

    @property
    def shown(self) -> str:
        """The fingerprint in its usual form."""
        return show_fingerprint(self.fingerprint)

    @property
    def place(self) -> str:
        """Whom it speaks for."""
        return f"{self.tenant}/{self.facility}/{self.host}"


def request(connection: Connection, line: str, actor: str) -> tuple[Key, bool]:
    """Take in a request; return its key, and whether it is new here.

    Raises:
        DecodeError: it is no sound request.
        RetryableError: the database is away.
    """
    asked = read_request(line)
    key = Key(fingerprint_of(asked.public_key), asked.tenant, asked.facility, asked.host)
    with translated("taking in a request"), connection.transaction():
        added = connection.execute(
            _QUERIES["request"],
            {
                "fingerprint": key.fingerprint,
                "public_key": asked.public_key,
                "tenant": key.tenant,
                "facility": key.facility,
                "host": key.host,
                "created": asked.created,
            },
        ).rowcount
        if added:
            _audit(connection, key, actor, "requested")
    return key, bool(added)


def find(connection: Connection, shown: str) -> Key:
    """Return the key whose fingerprint begins so.

    Raises:
        ConfigError: there is none, or more than one.
    """
    start = _start_of(shown)
    with translated("looking for a key"):
        rows = connection.execute(_QUERIES["find"], {"start": start}).fetchall()
    if len(rows) != 1:
        raise ConfigError([f"{shown}: {'more than one key begins so' if rows else 'no such key'}"])
    return _key(rows[0])


def waiting(connection: Connection, tenant: str, facility: str) -> list[Key]:
    """Return the keys of a facility that wait for approval."""
    with translated("looking for keys"):
        rows = connection.execute(
            _QUERIES["find_requested"], {"tenant": tenant, "facility": facility}
        ).fetchall()
    return [_key(row) for row in rows]


def approve(
    connection: Connection,
    key: Key,
    actor: str,
    *,
    valid_days: int | None = None,
    overlap_hours: float = 24,
) -> bool:
    """Trust a key that waits; the host's other keys end after the overlap. False if it did not."""
    named = {"fingerprint": key.fingerprint, "actor": actor, "valid_days": valid_days}
    with translated("approving a key"), connection.transaction():
        if connection.execute(_QUERIES["approve"], named).rowcount == 0:
            return False
        _audit(connection, key, actor, "approved")
        ending = connection.execute(
            _QUERIES["end_others"],
            {"fingerprint": key.fingerprint, "overlap_hours": overlap_hours},
        ).fetchall()
        for (other,) in ending:
            _audit(
                connection,
                Key(bytes(other), key.tenant, key.facility, key.host),  # type: ignore[call-overload]
                actor,
                "replaced",
                f"ends in {overlap_hours} h, after {key.shown}",
            )
    return True


def revoke(connection: Connection, key: Key, actor: str) -> bool:
    """Trust a key no more. False if it was revoked before."""
    named = {"fingerprint": key.fingerprint, "actor": actor}
    with translated("revoking a key"), connection.transaction():
        if connection.execute(_QUERIES["revoke"], named).rowcount == 0:
            return False
        _audit(connection, key, actor, "revoked")
    return True


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Return all keys, those that wait first."""
    with translated("listing keys"):
        rows = connection.cursor(row_factory=dict_row).execute(_QUERIES["list"]).fetchall()
    return [_readable(row) for row in rows]


def history(connection: Connection, limit: int = HISTORY_MAX) -> list[dict[str, Any]]:
    """Return what was done, the newest first."""
    with translated("reading the audit"):
        cursor = connection.cursor(row_factory=dict_row)
        rows = cursor.execute(_QUERIES["history"], {"limit": limit}).fetchall()
    return [_readable(row) for row in rows]


def as_json(row: dict[str, object]) -> str:
    """Return a row as one line of JSON."""
    return json.dumps(row, default=str)


def _audit(connection: Connection, key: Key, actor: str, action: str, more: str = "") -> None:
    connection.execute(
        _QUERIES["audit"],
        {
            "actor": actor,
            "action": action,
            "fingerprint": key.fingerprint,
            "detail": "; ".join(part for part in (key.place, more) if part),
        },
    )


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"fingerprint": show_fingerprint(row["fingerprint"])}


def _key(row: tuple[Any, ...]) -> Key:
    fingerprint, *names = row
    return Key(bytes(fingerprint), *names)


def _start_of(shown: str) -> bytes:
    """Return the bytes that the first characters of a fingerprint stand for."""
    text = shown.removeprefix(_SCHEME)
    if len(text) < PREFIX_CHARS_MIN:
        raise ConfigError([f"{shown}: give at least {PREFIX_CHARS_MIN} characters of the key"])
    try:
        if len(text) == 43:
            return base64.b64decode(text + "=", validate=True)
        return base64.b64decode(text[: len(text) // 4 * 4], validate=True)
    except binascii.Error as error:
        raise ConfigError([f"{shown}: that is no fingerprint"]) from error
