"""The settings of access: which way people are known, and what that makes of them."""

import ipaddress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from dashboard.access.identity import AccessRule

SECRET_CHARS_MIN = 16


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """Who is let in."""

    access: Annotated[
        str,
        Meta(
            pattern="^(none|oidc|proxy)$",
            description="how people are known: none (on loopback only), oidc, or proxy",
        ),
    ] = "none"
    access_rules: Annotated[
        tuple[AccessRule, ...],
        Meta(
            description="claim, value, role, tenant and facility, a table each; the first that "
            "matches counts; in the file only"
        ),
    ] = ()
    name_claim: Annotated[
        str, Meta(description="the claim by which somebody is named in the audit")
    ] = "preferred_username"
    public_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s/]+)?/?$",
            description="where browsers open the pages, such as https://fleet.example",
        ),
    ] = ""
    oidc_issuer: Annotated[
        str,
        Meta(pattern=r"^(https?://\S+)?$", description="the OpenID provider's issuer"),
    ] = ""
    oidc_client_id: Annotated[str, Meta(description="this dashboard's name at the provider")] = ""
    oidc_client_secret_file: Annotated[
        str, Meta(description="file that holds the client secret and nothing else")
    ] = ""
    oidc_scopes: Annotated[
        str, Meta(pattern=r"\bopenid\b", description="what is asked of the provider")
    ] = "openid profile email"
    session_idle_s: Annotated[
        float, Meta(ge=60, le=86_400, description="a login ends when no page is open so long")
    ] = 3600.0
    session_absolute_s: Annotated[
        float, Meta(ge=60, le=2_592_000, description="a login ends after this, whatever happens")
    ] = 43_200.0
    sessions_file: Annotated[
        str, Meta(description="file in which logins outlive a restart; empty: memory only")
    ] = ""
    proxy_peers: Annotated[
        str,
        Meta(description="addresses or networks of the proxies whose word counts, comma-separated"),
    ] = ""
    proxy_secret_file: Annotated[
        str, Meta(description="file with the secret that the proxy sends as X-Fleetgauge-Secret")
    ] = ""
    proxy_user_header: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9-]+$", description="the proxy's header with the user")
    ] = "X-Forwarded-User"
    proxy_groups_header: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9-]+$",
            description="the proxy's header with the user's groups, comma-separated",
        ),
    ] = "X-Forwarded-Groups"

    def check_access(self, *, is_loopback: bool) -> None:
        """Refuse a way in that would let in anybody, or nobody.

        Raises:
            ValueError: says what is missing.
        """
        if self.access == "none":
            if not is_loopback:
                raise ValueError(
                    "listen_address is not loopback: set access to oidc or proxy (docs/access.md)"
                )
            return
        if not self.access_rules:
            raise ValueError("access_rules: without one nobody is let in")
        if self.access == "oidc":
            self._check_oidc()
        else:
            if not self.peers():
                raise ValueError("proxy_peers must be given")
            if len(secret(self.proxy_secret_file)) < SECRET_CHARS_MIN:
                raise ValueError(f"proxy_secret_file: fewer than {SECRET_CHARS_MIN} characters")

    def _check_oidc(self) -> None:
        for name in ("public_url", "oidc_issuer", "oidc_client_id", "oidc_client_secret_file"):
            if not getattr(self, name):
                raise ValueError(f"{name} must be given")
        for name in ("public_url", "oidc_issuer"):
            parts = urlsplit(getattr(self, name))
            if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
                raise ValueError(f"{name} must be https")
        if not secret(self.oidc_client_secret_file):
            raise ValueError("oidc_client_secret_file is empty")

    def peers(self) -> list[IPv4Network | IPv6Network]:
        """Return the proxies' networks; an address stands for itself alone."""
        words = (word.strip() for word in self.proxy_peers.split(","))
        return [ipaddress.ip_network(word) for word in words if word]


def secret(path: str) -> str:
    """Return what a secret's file holds.

    Raises:
        ValueError: it cannot be read, or others may read it.
    """
    try:
        if Path(path).stat().st_mode & 0o004:
            raise ValueError(f"{path} can be read by everybody")
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path or 'a secret file'} cannot be read") from error


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
