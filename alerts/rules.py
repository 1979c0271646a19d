"""Rules: what is called wrong, each a plain SQL file whose head says how to treat its offenders.

Owns reading the files. The head is a paragraph that describes the rule, then `-- field: value`
lines, then notes; the body selects the offenders (see `alerts.offences` for its columns) with the
parameters `%(now)s` and `%(rule)s`. A file that cannot be read disables that rule alone.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import LiteralString, cast, get_args

from alerts.settings import Severity
from telemetry.errors import ConfigError

RULE_BYTES_MAX = 64 * 1024

_REQUIRED = ("title", "severity", "for", "clear", "key", "group by", "summary", "action", "runbook")
_FIELDS = frozenset((*_REQUIRED, "evaluate", "wait", "inhibited by"))
_FIELD_LINE = re.compile(r"^-- (?P<name>[a-z][a-z ]{0,19}): (?P<value>\S.*)$")
_CONTINUED_LINE = re.compile(r"^-- {4,}(?P<value>\S.*)$")
_DURATION = re.compile(r"^(?P<number>\d{1,5})(?P<unit>[smhd])$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_COLUMN = re.compile(r"^[a-z_][a-z0-9_]*$")
_NAME = re.compile(r"^[a-z][a-z0-9_]{1,60}$")


class RuleError(ValueError):
    """A rule cannot be read, or its offenders make no sense."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as its file says it.

    Attributes:
        name: the file's name; alerts, silences and inhibitions go by it.
        title: what several offenders are called together: "12 <title>".
        for_s: how long an offender is pending before it fires.
        clear_s: how long one must look good before it is resolved.
        on_data: evaluated whenever rows were stored, besides the regular interval.
        interval_s: least time between regular evaluations.
        wait_s: how long an incident gathers alerts before people are told.
        key: columns that tell one offender from another.
        group_by: columns whose alerts make one incident.
        inhibited_by: rules whose alerts explain this one's, by accelerator, host or facility.
        summary: one sentence with `{column}` and `{label}` in it.
    """

    name: str
    title: str
    severity: Severity
    key: tuple[str, ...]
    group_by: tuple[str, ...]
    summary: str
    action: str
    runbook: str
    body: LiteralString
    for_s: float = 0
    clear_s: float = 0
    on_data: bool = False
    interval_s: float = 0
    wait_s: float = 0
    inhibited_by: tuple[str, ...] = ()
    description: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules that could be read, and why the others could not."""

    rules: dict[str, Rule]
    broken: dict[str, str] = field(default_factory=dict)


def load_rules(folder: str = "") -> RuleSet:
    """Read the built-in rules and those of a deployment, which replace built-ins by name.

    Raises:
        ConfigError: the deployment's folder cannot be read at all.
    """
    found: dict[str, Traversable] = _rule_files((files("sql") / "alerts").iterdir())
    if folder:
        try:
            found |= _rule_files(Path(folder).iterdir())
        except OSError as error:
            raise ConfigError([f"rules_folder: {folder}: {error.strerror}"]) from error
    rules, broken = {}, {}
    for name, file in sorted(found.items()):
        try:
            rules[name] = parse_rule(name, _read(file))
        except RuleError as error:
            broken[name] = str(error)
    return RuleSet(rules, broken)


def parse_rule(name: str, text: str) -> Rule:
    """Make a rule from the text of its file; RuleError says what is wrong with it."""
    if not _NAME.match(name):
        raise RuleError("a rule's name is lower-case letters, digits and _")
    lines = text.splitlines()
    head_lines = next(
        (number for number, line in enumerate(lines) if not line.startswith("--")), len(lines)
    )
    body = "\n".join(lines[head_lines:]).strip()
    if not body:
        raise RuleError("there is no statement")
    description, fields = _parse_head(lines[:head_lines])
    missing = [word for word in _REQUIRED if word not in fields]
    if missing:
        raise RuleError(f"the head lacks {', '.join(missing)}")
    severity = fields["severity"]
    if severity not in get_args(Severity):
        raise RuleError(f"severity: {severity} is none of {', '.join(get_args(Severity))}")
    on_data, interval_s = _when(fields.get("evaluate", "every 10s"))
    return Rule(
        name=name,
        title=fields["title"],
        severity=cast("Severity", severity),
        key=_columns("key", fields["key"]),
        group_by=_columns("group by", fields["group by"]),
        summary=fields["summary"],
        action=fields["action"],
        runbook=fields["runbook"],
        body=body,
        for_s=_duration("for", fields["for"]),
        clear_s=_duration("clear", fields["clear"]),
        on_data=on_data,
        interval_s=interval_s,
        wait_s=_duration("wait", fields.get("wait", "0s")),
        inhibited_by=_columns("inhibited by", fields.get("inhibited by", "")),
        description=description,
        digest=hashlib.sha256(text.encode()).hexdigest(),
    )


def _parse_head(lines: list[str]) -> tuple[str, dict[str, str]]:
    """Return the first paragraph and the fields. A field ends where its paragraph ends."""
    fields: dict[str, str] = {}
    prose: list[str] = []
    current = ""
    started = ended = False
    for line in lines:
        match = None if ended else _FIELD_LINE.match(line)
        continued = _CONTINUED_LINE.match(line) if current else None
        if match is not None:
            started, current = True, match["name"]
            if current not in _FIELDS:
                raise RuleError(f"{current}: there is no such field")
            if current in fields:
                raise RuleError(f"{current}: stands twice")
            fields[current] = match["value"].strip()
        elif continued is not None:
            fields[current] += " " + continued["value"].strip()
        elif started:
            current, ended = "", True
        else:
            prose.append(line.removeprefix("--").strip())
    return " ".join(prose).strip(), fields


def _rule_files(entries: Iterable[Traversable]) -> dict[str, Traversable]:
    return {file.name.removesuffix(".sql"): file for file in entries if file.name.endswith(".sql")}


def _read(file: Traversable) -> str:
    try:
        raw = file.read_bytes()
        if len(raw) > RULE_BYTES_MAX:
            raise RuleError(f"larger than {RULE_BYTES_MAX} bytes")
        return raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RuleError(str(error)) from error


def _duration(name: str, text: str) -> float:
    match = _DURATION.match(text)
    if match is None:
        raise RuleError(f"{name}: {text} is no duration such as 30s, 5m or 1h")
    return float(int(match["number"]) * _SECONDS[match["unit"]])


def _when(text: str) -> tuple[bool, float]:
    if text == "on data":
        return True, 0.0
    if not text.startswith("every "):
        raise RuleError(f"evaluate: {text} is neither `on data` nor such as `every 30s`")
    return False, _duration("evaluate", text.removeprefix("every "))


def _columns(name: str, text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    for word in words:
        if not _COLUMN.match(word):
            raise RuleError(f"{name}: {word} is no column")
    return words
