"""A site's own word on some Xids, laid over the policy.

Owns the override file: a few codes with another class, and why; a class with another severity. What
it says is shown as such: the source of each row names the file, the reason, and what the policy
said before. All that it does not name stays as it was, so an upgrade brings new codes along.
"""

from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from alerts.settings import Severity
from alerts.xid_policy import XidClass, XidEntry, XidPolicy
from telemetry.errors import ConfigError

FILE_BYTES_MAX = 1 << 20
StructT = TypeVar("StructT")
Sentence = Annotated[str, Meta(min_length=1, max_length=500)]


class ClassOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a class asks for here. Severity `none` wakes nobody; what is not said stays."""

    action: Sentence | None = None
    severity: Severity | msgspec.UnsetType | None = msgspec.UNSET


class CodeOverride(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"klass": "class"}
):
    """Codes that this site treats otherwise.

    Attributes:
        reason: why, for whoever reads the alert.
        meaning: needed for a code that the policy does not have.
    """

    codes: Annotated[list[Annotated[int, Meta(ge=0, le=2**31)]], Meta(min_length=1)]
    klass: str
    reason: Sentence
    meaning: Sentence | None = None


def apply_override(policy: XidPolicy, path: str) -> XidPolicy:
    """Return the policy with a site's file laid over it; without a path, the policy itself.

    Raises:
        ConfigError: the file cannot be read, or names what there is not; all problems at once.
    """
    if not path:
        return policy
    classes, overrides = _read(Path(path), policy)
    by_code: dict[int, XidEntry] = {code: entry for entry in policy.xid for code in entry.codes}
    changed: dict[int, XidEntry] = {}
    problems: list[str] = []
    for at, override in enumerate(overrides):
        where = f"{path}:xid[{at}]"
        if override.klass not in classes:
            problems.append(f"{where}.class: there is no class {override.klass}")
        for code in override.codes:
            before = by_code.get(code)
            if code in changed:
                problems.append(f"{where}.codes: {code} stands twice")
            elif before is None and override.meaning is None:
                problems.append(f"{where}.meaning: the policy has no {code}; say what it means")
            else:
                changed[code] = _overridden(code, before, override, Path(path).name)
    if problems:
        raise ConfigError(problems)
    kept = [
        msgspec.structs.replace(entry, codes=[c for c in entry.codes if c not in changed])
        for entry in policy.xid
    ]
    return XidPolicy(classes, [entry for entry in kept if entry.codes] + list(changed.values()))


def _read(path: Path, policy: XidPolicy) -> tuple[dict[str, XidClass], list[CodeOverride]]:
    problems: list[str] = []
    try:
        with path.open("rb") as file:
            raw = msgspec.toml.decode(file.read(FILE_BYTES_MAX))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {error}"]) from error
    problems += [f"{path}:{key}: there is no such key" for key in raw.keys() - {"classes", "xid"}]
    classes = dict(policy.classes)
    for name, table in _tables(raw.get("classes", {}), f"{path}:classes", problems).items():
        said = _convert(table, ClassOverride, f"{path}:classes.{name}", problems)
        if said is None:
            continue
        if name not in classes and said.action is None:
            problems.append(f"{path}:classes.{name}.action: a new class needs one")
            continue
        before = classes.get(name)
        severity = said.severity
        if isinstance(severity, msgspec.UnsetType):
            severity = before.severity if before else None
        classes[name] = XidClass(said.action or (before.action if before else ""), severity)
    found = [
        _convert(table, CodeOverride, f"{path}:xid[{at}]", problems)
        for at, table in enumerate(_list(raw.get("xid", []), f"{path}:xid", problems))
    ]
    if problems:
        raise ConfigError(problems)
    return classes, [override for override in found if override is not None]


def _tables(value: Any, where: str, problems: list[str]) -> dict[Any, Any]:
    if isinstance(value, dict):
        return value
    problems.append(f"{where}: is no table")
    return {}


def _list(value: Any, where: str, problems: list[str]) -> list[Any]:
    if isinstance(value, list):
        return value
    problems.append(f"{where}: is no list of tables")
    return []


def _convert(table: Any, kind: type[StructT], where: str, problems: list[str]) -> StructT | None:
    if isinstance(table, dict) and table.get("severity") == "none":
        table = table | {"severity": None}
    try:
        return msgspec.convert(table, type=kind)
    except msgspec.ValidationError as error:
        problems.append(f"{where}: {error}")
        return None


def _overridden(code: int, before: XidEntry | None, override: CodeOverride, file: str) -> XidEntry:
    """Return the row of one code, whose source tells of both."""
    was = f"; the policy has {before.klass}, by {before.source}" if before else ""
    return XidEntry(
        codes=[code],
        meaning=override.meaning or (before.meaning if before else ""),
        vendor_action=before.vendor_action if before else "none given",
        klass=override.klass,
        source=f"override in {file}: {override.reason}{was}",
        boards=before.boards if before else [],
        note=before.note if before else "",
    )
