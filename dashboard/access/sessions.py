"""Logins that are kept: who has which, until when.

Owns the store, a small SQLite file or memory. A browser holds a random token and nothing else; of
it only the hash is kept, so that the file lets nobody in. A login ends by logout, when no page of
it is open for a while, and after its time whatever happens.
"""

import hashlib
import os
import secrets
import sqlite3
from pathlib import Path

import msgspec

from dashboard.access.identity import Identity
from telemetry.clock import Clock

SESSIONS_MAX = 20_000
# Use is written down no more often than this.
TOUCH_EVERY_S = 30.0


class Sessions:
    """The logins of one process, or of its next ones where they are in a file."""

    def __init__(self, clock: Clock, *, file: str, idle_s: float, absolute_s: float) -> None:
        self._clock = clock
        self._idle_s = idle_s
        self._absolute_s = absolute_s
        if file:
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
            Path(file).chmod(0o600)
        # Made in the thread that builds the application, used in the one that runs it.
        self._db = sqlite3.connect(
            file or ":memory:", check_same_thread=False, isolation_level=None
        )
        self._db.execute(
            "create table if not exists sessions (token_hash blob primary key, identity text"
            " not null, started_s real not null, used_s real not null) without rowid"
        )

    def start(self, identity: Identity) -> str:
        """Keep a login and return its token."""
        token = secrets.token_urlsafe(32)
        now_s = self._now_s()
        self._db.execute(
            "delete from sessions where started_s < ? or used_s < ?",
            (now_s - self._absolute_s, now_s - self._idle_s),
        )
        self._db.execute(
            "delete from sessions where token_hash in (select token_hash from sessions"
            " order by used_s desc limit -1 offset ?)",
            (SESSIONS_MAX - 1,),
        )
        self._db.execute(
            "insert into sessions values (?, ?, ?, ?)",
            (_hash(token), msgspec.json.encode(identity).decode(), now_s, now_s),
        )
        return token

    def find(self, token: str) -> Identity | None:
        """Return whose token this is, and count that as use; None once it is over."""
        row = self._db.execute(
            "select identity, started_s, used_s from sessions where token_hash = ?", (_hash(token),)
        ).fetchone()
        now_s = self._now_s()
        if row is None or now_s - row[1] > self._absolute_s or now_s - row[2] > self._idle_s:
            return None
        if now_s - row[2] > TOUCH_EVERY_S:
            self._db.execute(
                "update sessions set used_s = ? where token_hash = ?", (now_s, _hash(token))
            )
        return msgspec.json.decode(row[0], type=Identity)

    def end(self, token: str) -> None:
        """Forget a login: whoever else has its token is out too."""
        self._db.execute("delete from sessions where token_hash = ?", (_hash(token),))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _now_s(self) -> float:
        return self._clock.now_us() / 1e6


def _hash(token: str) -> bytes:
    # No salt and no stretching: the token is 256 bits of chance.
    return hashlib.sha256(token.encode()).digest()
