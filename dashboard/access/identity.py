"""The words of access: roles, who somebody is, and for whose eyes something is.

Owns how the claims of a login become a role, by the rules of the deployment. Pure.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

# All tenants.
EVERYONE = "*"
NAME_CHARS_MAX = 120


class Role(StrEnum):
    """What somebody may do; each of the last three may do all that the one before may."""

    LANDLORD = "landlord"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


STAFF = frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN})
OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})
ADMINS = frozenset({Role.ADMIN})
EVERY_ROLE = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Audience:
    """For whose eyes something is: what is computed for one is the same for all who equal it.

    Attributes:
        tenant: whose facilities; `*` for all.
        facility: the only one to be seen; empty for all of the tenant.
        names: whether jobs, queues and people are named.
    """

    tenant: str = EVERYONE
    facility: str = ""
    names: bool = True


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who is known."""

    name: str
    role: Role
    tenant: str = EVERYONE
    facility: str = ""

    @property
    def audience(self) -> Audience:
        """Whose data this one sees."""
        return Audience(self.tenant, self.facility, names=self.role is not Role.LANDLORD)


# Without access control, whoever reaches loopback is the one who started the program.
LOCAL = Identity("local", Role.ADMIN)

# Who asked for what is being done in this task; Dash hands no request to its page functions.
asking: ContextVar[Identity | None] = ContextVar("asking", default=None)


class AccessRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whoever has this value in this claim has this role.

    Attributes:
        claim: name of a claim, with dots for one inside another; `user` and `groups` for a proxy.
        value: what it must be or hold; `*` for anything at all.
        role: landlord, viewer, operator or admin.
        tenant: whose facilities are seen; `*` for all.
        facility: the only facility to be seen; a landlord must have one.
    """

    claim: Annotated[str, Meta(min_length=1)]
    value: Annotated[str, Meta(min_length=1)]
    role: Role
    tenant: Annotated[str, Meta(min_length=1)]
    facility: str = ""

    def __post_init__(self) -> None:
        if self.role is Role.LANDLORD and (not self.facility or self.tenant == EVERYONE):
            raise ValueError("a landlord needs a tenant and a facility")

    def matches(self, claims: Mapping[str, Any]) -> bool:
        """Whether the claims have what this rule asks for."""
        found: Any = claims
        for part in self.claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if self.claim == "email" and claims.get("email_verified") is not True:
            return False
        values = found if isinstance(found, list | tuple) else [found]
        texts = [value for value in values if isinstance(value, str) and value]
        return bool(texts) if self.value == "*" else self.value in texts


def identify(
    claims: Mapping[str, Any], rules: Sequence[AccessRule], name_claim: str
) -> Identity | None:
    """Return who this is by the first rule that matches; None where none does."""
    names = (claims.get(key) for key in (name_claim, "preferred_username", "email", "sub", "user"))
    name = next((each for each in names if isinstance(each, str) and each.strip()), None)
    rule = next((rule for rule in rules if rule.matches(claims)), None)
    if rule is None or name is None:
        return None
    plain = "".join(letter for letter in name.strip() if letter.isprintable())
    return Identity(plain[:NAME_CHARS_MAX], rule.role, rule.tenant, rule.facility)
