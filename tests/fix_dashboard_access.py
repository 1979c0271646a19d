"""A dashboard behind a trusted proxy, and the headers by which the proxy names each role.

`front_door(url)` serves one; `as_role(role)` are the headers, for acme's staff and acme-north's
landlord; `AS_ZETA` those of another tenant's administrator.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboard.access.identity import AccessRule, Role

SECRET = "a secret of some length"
ROLES = ("landlord", "viewer", "operator", "admin")


def rule(value: str, role: str, tenant: str = "acme", facility: str = "") -> AccessRule:
    return AccessRule(
        claim="groups", value=value, role=Role(role), tenant=tenant, facility=facility
    )


RULES = (
    rule("landlord", "landlord", facility="acme-north"),
    *(rule(role, role) for role in ROLES[1:]),
    rule("zeta", "admin", "zeta"),
    rule("root", "admin", "*"),
)


def as_role(group: str) -> dict[str, str]:
    return {
        "X-Forwarded-User": f"{group}-person",
        "X-Forwarded-Groups": f"people,{group}",
        "X-Fleetgauge-Secret": SECRET,
    }


@pytest.fixture
def proxied(tmp_path: Path) -> dict[str, Any]:
    """Settings of the access mode `proxy`, with loopback as the proxy."""
    path = tmp_path / "proxy-secret"
    path.write_text(SECRET)
    path.chmod(0o600)
    return {
        "access": "proxy",
        "access_rules": RULES,
        "proxy_peers": "127.0.0.1",
        "proxy_secret_file": str(path),
    }


@pytest.fixture
def front_door(
    serve_dashboard: Callable[..., str], proxied: dict[str, Any]
) -> Callable[[str], str]:
    def serve(url: str) -> str:
        return serve_dashboard(database_url=url, tick_interval_s=0.2, **proxied)

    return serve
