"""A proxy that has logged people in and says who they are, in a header.

Owns whom to believe: the word counts only from an address on the list and with the secret. The
headers are taken off every request, so that nothing behind this can believe them by mistake.
"""

import hmac
import ipaddress
from ipaddress import IPv4Address, IPv6Address

from dashboard.access.gate import Scope, Visit
from dashboard.access.identity import identify
from dashboard.access.settings import AccessSettings, secret

SECRET_HEADER = b"x-fleetgauge-secret"


class ProxyDoor:
    """Knows whom a trusted proxy names."""

    login_path = ""

    def __init__(self, settings: AccessSettings) -> None:
        self._peers = settings.peers()
        self._secret = secret(settings.proxy_secret_file).encode()
        self._user = settings.proxy_user_header.lower().encode()
        self._groups = settings.proxy_groups_header.lower().encode()
        self._rules = settings.access_rules

    def recognise(self, scope: Scope) -> Visit | None:
        """Return whom the proxy names; None from anybody else."""
        taken: dict[bytes, list[bytes]] = {SECRET_HEADER: [], self._user: [], self._groups: []}
        rest = []
        for key, value in scope["headers"]:
            if key in taken:
                taken[key].append(value)
            else:
                rest.append((key, value))
        scope["headers"] = rest
        if not self._trusts(scope) or [len(taken[SECRET_HEADER]), len(taken[self._user])] != [1, 1]:
            return None
        if not hmac.compare_digest(taken[SECRET_HEADER][0], self._secret):
            return None
        groups = b",".join(taken[self._groups]).decode("utf-8", "replace").split(",")
        claims = {
            "user": taken[self._user][0].decode("utf-8", "replace").strip(),
            "groups": [group.strip() for group in groups],
        }
        identity = identify(claims, self._rules, "user")
        return None if identity is None else Visit(identity)

    def _trusts(self, scope: Scope) -> bool:
        if not scope.get("client"):
            return False
        try:
            peer: IPv4Address | IPv6Address = ipaddress.ip_address(scope["client"][0])
        except ValueError:
            return False
        # On a socket for both families, an IPv4 peer shows as ::ffff:192.0.2.1.
        if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        return any(peer in network for network in self._peers)
