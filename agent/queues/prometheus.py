"""Any Prometheus endpoint as a queue source, by a mapping.

Owns the request: one GET with a deadline, no redirect, a bounded answer. What the answer means is
the mapping's business.
"""

import http.client
from collections.abc import Sequence
from urllib.parse import urlsplit

from agent.queues.exposition import parse
from agent.queues.mapping import Mapping, Totals, load_mapping, snapshots
from telemetry.errors import ConfigError, ReadError
from telemetry.records import QueueSnapshot

TIMEOUT_S = 3.0
ANSWER_BYTES_MAX = 8 << 20
# Servers that offer more than one format give the plain one for this.
_ACCEPT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"


class PrometheusSource:
    """One endpoint and its mapping; remembers the last reading for rates."""

    def __init__(self, mapping: Mapping, url: str) -> None:
        self._mapping = mapping
        self._url = url
        self._before: Totals | None = None

    @classmethod
    def from_setting(cls, mapping: str, url: str) -> "PrometheusSource":
        """Return a source; ConfigError when mapping or URL are no good."""
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - raises where the port is no number
        except ValueError as error:
            raise ConfigError([f"queue_endpoints:{url}: {error}"]) from error
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ConfigError([f"queue_endpoints:{url}: not http(s)://HOST[:PORT]/PATH"])
        return cls(load_mapping(mapping), url)

    def read(self, time_us: int, now_s: float) -> Sequence[QueueSnapshot]:
        """Return what the endpoint says of its queues now."""
        samples = parse(fetch(self._url), self._mapping.metrics())
        totals = Totals(self._mapping, samples, now_s)
        found = snapshots(self._mapping, totals, self._before, time_us)
        self._before = totals
        return found

    def __str__(self) -> str:
        return f"{self._mapping.source} at {self._url}"


def fetch(url: str) -> str:
    """Return the body of an answer with status 200.

    Raises:
        ReadError: no answer in time, another status, too much, or not UTF-8.
    """
    parts = urlsplit(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("GET", path, headers={"Accept": _ACCEPT, "Connection": "close"})
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise ReadError(f"{url} answers {answer.status} {answer.reason}")
        body = answer.read(ANSWER_BYTES_MAX + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ReadError(f"{url}: {error!r}") from error
    finally:
        connection.close()
    if len(body) > ANSWER_BYTES_MAX:
        raise ReadError(f"{url} answers more than {ANSWER_BYTES_MAX} bytes")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise ReadError(f"{url} does not answer UTF-8") from error
