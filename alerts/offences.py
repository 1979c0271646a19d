"""Offences: what a rule's rows mean.

Owns the contract of a rule's columns. Needed: `verdict`, and the rule's key and group columns.
Known: `facility_id`, `host_id`, `gpu_id` (where it is), `since` (when it began), `severity` and
`action` (where they differ by row). Everything else is kept as measured and may stand in the
summary, as may the labels of the place. Pure.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, cast, get_args

from alerts.rules import Rule, RuleError
from alerts.settings import Severity

SUMMARY_CHARS_MAX = 500
VALUE_CHARS_MAX = 200

_SLOT = re.compile(r"\{(\w+)\}")
_PLACES = ("facility_id", "host_id", "gpu_id")
_SEVERITIES = frozenset(get_args(Severity))
_KNOWN = frozenset((*_PLACES, "verdict", "since", "severity", "action"))


class Verdict(StrEnum):
    """What a rule says of one subject.

    HOLD is for the band between two thresholds and for missing data: neither a reason to fire nor
    a sign that all is well. GOOD is also what a rule says by not mentioning a subject.
    """

    BAD = "bad"
    HOLD = "hold"
    GOOD = "good"


_VERDICTS = frozenset(Verdict)


@dataclass(frozen=True, slots=True)
class Offence:
    """One subject of one rule, now."""

    key: str
    group_key: str
    verdict: Verdict
    severity: Severity
    action: str
    facility_id: int | None = None
    host_id: int | None = None
    gpu_id: int | None = None
    since: datetime | None = None
    measured: dict[str, Any] = field(default_factory=dict)


def read_offences(rule: Rule, rows: Iterable[Mapping[str, Any]]) -> dict[str, Offence]:
    """Return the offences by key.

    Raises:
        RuleError: a column is missing or holds nonsense; the whole answer is then in doubt.
    """
    offences: dict[str, Offence] = {}
    for row in rows:
        offence = _read(rule, row)
        if offence.key in offences:
            raise RuleError(f"two rows have the key {offence.key}")
        offences[offence.key] = offence
    return offences


def render_summary(
    rule: Rule, labels: Mapping[str, Any], measured: Mapping[str, Any]
) -> tuple[str, str | None]:
    """Fill the rule's summary in; return it and what went wrong, if anything did.

    A summary that asks for what is not there falls back to plain words: people are told anyway.
    """
    words = {**measured, **labels}
    missing = sorted({slot for slot in _SLOT.findall(rule.summary) if slot not in words})
    if missing:
        place = labels.get("place", "somewhere")
        return f"{rule.title}: {place}", f"summary: no {', '.join(missing)}"
    text = _SLOT.sub(lambda match: _word(words[match[1]]), rule.summary)
    return text[:SUMMARY_CHARS_MAX], None


def _read(rule: Rule, row: Mapping[str, Any]) -> Offence:
    missing = [name for name in ("verdict", *rule.key, *rule.group_by) if name not in row]
    if missing:
        raise RuleError(f"the statement returns no {', '.join(missing)}")
    verdict, severity = row["verdict"], row.get("severity") or rule.severity
    if verdict not in _VERDICTS:
        raise RuleError(f"verdict: {_word(verdict)} is none of {', '.join(Verdict)}")
    if severity not in _SEVERITIES:
        raise RuleError(f"severity: {_word(severity)} is none of {', '.join(get_args(Severity))}")
    since = row.get("since")
    return Offence(
        key=_joined(row, rule.key),
        group_key=_joined(row, rule.group_by),
        verdict=Verdict(verdict),
        severity=cast("Severity", severity),
        action=str(row.get("action") or rule.action),
        since=since if isinstance(since, datetime) else None,
        measured={name: _plain(row[name]) for name in row if name not in _KNOWN},
        **{place: row.get(place) for place in _PLACES},
    )


def _joined(row: Mapping[str, Any], names: Iterable[str]) -> str:
    """A key that people can read: `facility_id=3 queue=chat`."""
    return " ".join(f"{name}={_word(row[name])}" for name in names)


def _word(value: object) -> str:
    return "-" if value is None else str(value)[:VALUE_CHARS_MAX]


def _plain(value: object) -> object:
    """A value as JSON can hold it; numbers stay numbers, the rest becomes bounded text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return int(value) if value == int(value) else float(value)
    return str(value)[:VALUE_CHARS_MAX]
