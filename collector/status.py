"""What was sent, stored, dropped and is missing, as one record.

Owns reading it from the database and the words for a terminal. Always
`sent = stored + dropped + missing`, per host and stream, counted in messages.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from psycopg.rows import dict_row

import sql
from collector.database import Connection, translated

_QUERIES = sql.queries("status")
_COUNTS = ("sent", "stored", "missing", "stored_rows", "repeated")
HOSTS_SHOWN_MAX = 40


def read(connection: Connection) -> dict[str, Any]:
    """Return the whole status, ready for JSON but for its times."""
    with translated("reading the status"), connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        cursor = connection.cursor(row_factory=dict_row)
        found = {name: cursor.execute(text).fetchall() for name, text in _QUERIES.items()}
    accounts = found["accounts"]
    topics = {row.pop("topic"): row for row in found["topics"]}
    by_reason = {row["reason"]: row["messages"] for row in found["quarantine"]}
    return {
        "totals": _totals(accounts),
        "hosts": _hosts(accounts),
        "open_gaps": found["open_gaps"],
        "topics": topics,
        "backlog": _backlog(topics.values(), found["collectors"]),
        "quarantine": {"messages": sum(by_reason.values()), "by_reason": by_reason},
        "lost_ranges": found["lost_ranges"],
        "collectors": found["collectors"],
    }


def _backlog(
    topics: Iterable[dict[str, Any]], collectors: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    """Return what live messages have left behind, and how long it will take at today's pace."""
    messages = sum(row["left_behind"] for row in topics)
    per_second = sum(row["backlog_per_second"] for row in collectors if row["alive"])
    seconds_left = messages / per_second if messages and per_second > 0 else None
    return {"messages": messages, "per_second": per_second, "seconds_left": seconds_left}


def _totals(accounts: list[dict[str, Any]]) -> dict[str, Any]:
    totals: dict[str, Any] = {}
    for row in accounts:
        entry = totals.setdefault(row["stream"], dict.fromkeys(_COUNTS, 0) | {"dropped": Counter()})
        for name in _COUNTS:
            entry[name] += row[name]
        entry["dropped"].update(row["dropped"])
    return totals


def _hosts(accounts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    hosts: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in accounts:
        name = (row["tenant"], row["facility"], row["host"])
        entry = hosts.setdefault(
            name, {"tenant": name[0], "facility": name[1], "host": name[2], "streams": {}}
        )
        entry["streams"][row["stream"]] = {key: row[key] for key in (*_COUNTS, "dropped")}
    return list(hosts.values())


def describe(status: dict[str, Any]) -> Iterator[str]:
    """Yield the status as lines for a person: totals, then whatever is not as it should be."""
    yield f"{len(status['hosts'])} hosts"
    for stream, entry in sorted(status["totals"].items()):
        yield f"  {stream}: {_account(entry)}, {entry['stored_rows']} rows"
    for topic, entry in status["topics"].items():
        yield f"topic {topic}: {entry['lag']} messages behind in {entry['partitions']} partitions"
    yield from _left_behind(status["backlog"])
    yield from _quarantine(status["quarantine"])
    for entry in status["lost_ranges"]:
        yield (
            f"lost: {entry['topic']} partition {entry['partition']} offsets "
            f"{entry['first_offset']} to {entry['last_offset']}, {entry['reason']}"
        )
    for entry in status["collectors"]:
        yield _collector(entry)
    yield from _odd_hosts(status["hosts"])


def _account(entry: dict[str, Any]) -> str:
    dropped = sum(entry["dropped"].values())
    text = f"{entry['sent']} sent = {entry['stored']} stored + {dropped} dropped"
    text += f" + {entry['missing']} not arrived"
    if dropped:
        text += " (" + ", ".join(f"{why}: {n}" for why, n in sorted(entry["dropped"].items())) + ")"
    return text


def _left_behind(backlog: dict[str, Any]) -> Iterator[str]:
    if not backlog["messages"]:
        return
    text = f"backlog: {backlog['messages']} messages left behind, live ones are stored first"
    if backlog["seconds_left"] is not None:
        text += f"; {backlog['per_second']:.0f} a second, so about {backlog['seconds_left']:.0f} s"
    yield text


def _quarantine(quarantine: dict[str, Any]) -> Iterator[str]:
    yield f"quarantine: {quarantine['messages']} messages"
    for reason, messages in quarantine["by_reason"].items():
        yield f"  {reason}: {messages}"


def _collector(entry: dict[str, Any]) -> str:
    state = "alive" if entry["alive"] else f"silent since {entry['reported_at']:%Y-%m-%d %H:%M:%S}"
    text = f"collector {entry['instance']}: {state}, {entry['rows_per_second']:.0f} rows/s"
    if entry["fetch_stalls"]:
        text += f", fetch stalls: {entry['fetch_stalls']}"
    return text if entry["waiting_for"] is None else f"{text}, waiting for {entry['waiting_for']}"


def _odd_hosts(hosts: list[dict[str, Any]]) -> Iterator[str]:
    odd = [
        (host, stream, entry)
        for host in hosts
        for stream, entry in host["streams"].items()
        if entry["missing"] or entry["dropped"]
    ]
    if not odd:
        return
    yield "hosts with messages dropped or not arrived:"
    for host, stream, entry in odd[:HOSTS_SHOWN_MAX]:
        yield f"  {host['tenant']}/{host['facility']}/{host['host']} {stream}: {_account(entry)}"
    if len(odd) > HOSTS_SHOWN_MAX:
        yield f"  and {len(odd) - HOSTS_SHOWN_MAX} more; --json lists all"
