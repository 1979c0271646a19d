"""The Xid policy: what each code means and what it asks for, as data.

Owns reading and checking the file. The database gets a copy, which the rule `fatal_xid` and the
dashboard join; what is done about a code is decided nowhere else.
"""

from importlib.resources import files
from pathlib import Path

import msgspec

from alerts.settings import Severity
from telemetry.errors import ConfigError


class XidClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What codes of one kind ask for; without a severity they wake nobody."""

    action: str
    severity: Severity | None = None


class XidEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"klass": "class"}):
    """Codes that mean the same, and who says so."""

    codes: list[int]
    meaning: str
    vendor_action: str
    klass: str
    source: str
    boards: list[str] = []
    note: str = ""


class XidPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    classes: dict[str, XidClass]
    xid: list[XidEntry]

    def rows(self) -> list[dict[str, object]]:
        """Return one row a code, as table `xid_policy` has them."""
        return [
            {
                "code": code,
                "meaning": entry.meaning,
                "vendor_action": entry.vendor_action,
                "class": entry.klass,
                "severity": self.classes[entry.klass].severity,
                "action": self.classes[entry.klass].action,
                "source": entry.source,
                "note": entry.note,
            }
            for entry in self.xid
            for code in entry.codes
        ]


def load_policy(path: str = "") -> XidPolicy:
    """Read the policy of a deployment, or the built-in one.

    Raises:
        ConfigError: the file cannot be read, or contradicts itself.
    """
    file = Path(path) if path else files(__package__) / "xid_policy.toml"
    try:
        policy = msgspec.toml.decode(file.read_bytes(), type=XidPolicy)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError([f"{file}: {error}"]) from error
    seen: set[int] = set()
    problems = []
    for entry in policy.xid:
        if entry.klass not in policy.classes:
            problems.append(f"{file}:xid {entry.codes}: there is no class {entry.klass}")
        for code in entry.codes:
            if code in seen:
                problems.append(f"{file}:xid {code}: stands twice")
            seen.add(code)
    if problems:
        raise ConfigError(problems)
    return policy
