"""Where a webhook may go: the guard against being used to reach what is inside.

Owns the judgement of URLs and addresses. A name is resolved once, every address it has must be
allowed, and the connection then goes to that very address, so that a second answer of the name
server changes nothing. Numbers in disguise (octal, hexadecimal, one long integer) are refused
rather than understood.
"""

import re
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]

URL_CHARS_MAX = 2048
RESOLVE_TIMEOUT_S = 5.0

_HOST = re.compile(r"^(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_-]{1,63}$")
_NUMBER = re.compile(r"^(0x[0-9a-f]*|[0-9]+)$")
# Networks that carry an IPv4 address inside an IPv6 one: NAT64 (RFC 6052) and 6to4 (RFC 3056).
_NAT64 = ip_network("64:ff9b::/96")
_TUNNELS = (_NAT64, ip_network("64:ff9b:1::/48"), ip_network("2002::/16"), ip_network("2001::/32"))


class ForbiddenTarget(ValueError):  # noqa: N818 - a verdict
    """This is not a place where webhooks may go; the text says why."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a deployment allows.

    Attributes:
        networks: private networks that may be reached, on any port and by plain http.
        ports: ports that may be reached elsewhere.
    """

    networks: Sequence[Network] = ()
    ports: frozenset[int] = field(default_factory=lambda: frozenset({443}))


@dataclass(frozen=True, slots=True)
class Target:
    """Where the connection goes and what it asks for.

    Attributes:
        address: the one address that was checked.
        host: the name for the certificate and the Host header.
        path: with the query, as written.
    """

    scheme: str
    host: str
    address: str
    port: int
    path: str

    @property
    def pinned_url(self) -> str:
        """The URL with the address in place of the name."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def host_header(self) -> str:
        """The name as the receiver knows it."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return name if self.port == usual else f"{name}:{self.port}"


def check_target(url: str, policy: Policy, resolve: Resolve) -> Target:
    """Return where a URL leads.

    Raises:
        ForbiddenTarget: it must not be followed.
        OSError: its name cannot be resolved now.
    """
    scheme, host, port, path = _split(url)
    literal = _literal(host)
    found = [str(literal)] if literal is not None else list(resolve(host, port))
    if not found:
        raise OSError(f"{host} has no address")
    for text in found:
        _check_address(ip_address(text.partition("%")[0]), scheme, port, policy)
    return Target(scheme, host, found[0], port, path)


def resolve_name(host: str, port: int) -> list[str]:
    """Ask the system's resolver, in bounded time; OSError when it does not know or answer."""
    answers: list[str] = []
    errors: list[OSError] = []

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.extend(str(entry[4][0]) for entry in found)
        except OSError as error:
            errors.append(error)

    # The resolver cannot be interrupted; a late answer ends in an empty room.
    thread = threading.Thread(target=ask, name="resolve", daemon=True)
    thread.start()
    thread.join(RESOLVE_TIMEOUT_S)
    if errors:
        raise errors[0]
    if thread.is_alive():
        raise TimeoutError(f"no answer about {host} in {RESOLVE_TIMEOUT_S:.0f} s")
    return answers


def _split(url: str) -> tuple[str, str, int, str]:
    if len(url) > URL_CHARS_MAX or not url.isascii() or not url.isprintable():
        raise ForbiddenTarget("the URL is too long or has characters that do not belong there")
    if re.search(r"[\s\\]", url):
        raise ForbiddenTarget("the URL has a space or a backslash in it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ForbiddenTarget(f"the URL cannot be read: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise ForbiddenTarget(f"{parts.scheme or 'no scheme'} is neither https nor http")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise ForbiddenTarget("a URL with a user in it is not followed")
    host = (parts.hostname or "").lower()
    if not host:
        raise ForbiddenTarget("the URL names no host")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    default = 443 if parts.scheme == "https" else 80
    return parts.scheme, host, default if port is None else port, path


def _literal(host: str) -> Address | None:
    """The address that a host is, or None where it is a name.

    Whatever ends in a number would be taken for an IPv4 address by some resolver, so it is one in
    its plain form or it is refused.
    """
    if ":" in host:
        if "%" in host:
            raise ForbiddenTarget("an address with a zone is not followed")
        try:
            return IPv6Address(host)
        except ValueError as error:
            raise ForbiddenTarget("this is not an IPv6 address") from error
    if not _HOST.match(host):
        raise ForbiddenTarget("this is not a host name")
    if not _NUMBER.match(host.rpartition(".")[2]):
        return None
    try:
        return IPv4Address(host)
    except ValueError as error:
        raise ForbiddenTarget("a number in disguise is not followed") from error


def _check_address(address: Address, scheme: str, port: int, policy: Policy) -> None:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in network for network in policy.networks):
        return
    if scheme != "https":
        raise ForbiddenTarget("only https leaves the allowed networks")
    if port not in policy.ports:
        raise ForbiddenTarget(f"port {port} is not allowed")
    tunnelled = any(address in network for network in _TUNNELS)
    if not address.is_global or address.is_multicast or address.is_reserved or tunnelled:
        raise ForbiddenTarget(f"{address} is not a public address")
