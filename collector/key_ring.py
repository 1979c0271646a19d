"""The keys that are trusted, as the database has them, and no older than half a minute.

Owns the copy in memory and when it is read again: at once when the database tells of a change, and
every so often in case it could not. Whether a message's signature is right is `identity.py`'s.
"""

import logging
from dataclasses import dataclass

import psycopg

import sql
from collector.database import Connection, translated
from telemetry.clock import Clock
from telemetry.signing import KEY_ID_BYTES

log = logging.getLogger(__name__)

# A revocation is honoured within twice this, even where no notice comes through (a pooler …).
REFRESH_S = 25.0
CHANNEL = "fleetgauge_keys"

_QUERIES = sql.queries("agent_keys")


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key that somebody has enrolled.

    Attributes:
        host: tenant, facility and host that it speaks for.
        state: `requested`, `approved` or `revoked`.
        until_s: since 1970, from when on it is trusted no more; None for no end.
    """

    public_key: bytes
    host: tuple[str, str, str]
    state: str
    until_s: float | None


class KeyRing:
    """Keys by their id."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._keys: dict[bytes, TrustedKey] = {}
        self._state: object = None
        self._due_s = float("-inf")
        with translated("listening for keys"):
            connection.add_notify_handler(self._heard)
            connection.execute("listen fleetgauge_keys")

    def find(self, key_id: bytes) -> TrustedKey | None:
        """Return a key, as of the last refresh."""
        return self._keys.get(key_id)

    def refresh(self) -> None:
        """Read the keys if it is time.

        Raises:
            RetryableError: the database is away.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._due_s:
            return
        # Before the reading: what is heard while it goes on asks for another one.
        self._due_s = now_s + REFRESH_S
        with translated("reading the agents' keys"):
            state = self._connection.execute(_QUERIES["state"]).fetchone()
            if state == self._state:
                return
            rows = self._connection.execute(_QUERIES["trusted"]).fetchall()
        self._keys = {
            bytes(fingerprint)[:KEY_ID_BYTES]: TrustedKey(  # type: ignore[call-overload]
                bytes(public_key),  # type: ignore[call-overload]
                (str(tenant), str(facility), str(host)),
                str(state),
                None if until_s is None else float(str(until_s)),
            )
            for fingerprint, public_key, tenant, facility, host, state, until_s in rows
        }
        self._state = state
        log.info("%d agents' keys read", len(self._keys))

    def _heard(self, notice: psycopg.Notify) -> None:
        if notice.channel == CHANNEL:
            self._due_s = float("-inf")
