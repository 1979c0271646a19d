"""The gate: who asks, and whether that one may ask for this. Shut unless the list says otherwise.

Owns the decision for each request and socket, before anything reads the path for a purpose of its
own. It sends nothing itself: `guard.py` answers with what it decided.
"""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from dashboard.access.identity import LOCAL, Identity
from dashboard.access.routes import Routes

Scope = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who is known, and whether that is still so: sockets outlive logins."""

    identity: Identity
    is_known: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is answered instead; a location sends the browser there."""

    status: int
    reason: str
    location: str = ""


class Door(Protocol):
    """One way to know somebody."""

    login_path: str

    def recognise(self, scope: Scope) -> Visit | None:
        """Return who asks; None where that is not known."""


class OpenDoor:
    """No access control: on loopback, where everybody is the one who started the program."""

    login_path = ""

    def recognise(self, scope: Scope) -> Visit | None:  # noqa: ARG002 - any will do
        """Return the local one."""
        return Visit(LOCAL)


class Gate:
    """Decides."""

    def __init__(self, door: Door, routes: Routes) -> None:
        self._door = door
        self._routes = routes

    def decide(self, scope: Scope) -> Visit | Refusal | None:
        """Return who may pass, or why not; None for what needs nobody to be known."""
        method = "SOCKET" if scope["type"] == "websocket" else scope["method"]
        # As it was sent: a server may have decoded `path` already.
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        if path == scope["path"] and self._routes.is_public(method, path):
            return None
        visit = self._door.recognise(scope)
        if visit is None:
            return self._unknown(scope, method)
        roles = self._routes.roles(method, path) if path == scope["path"] else None
        if roles is None:
            return Refusal(404, "there is no such page")
        if visit.identity.role not in roles:
            return Refusal(403, "this is not for your role")
        return visit

    def _unknown(self, scope: Scope, method: str) -> Refusal:
        wants_page = any(
            key == b"accept" and b"text/html" in value for key, value in scope["headers"]
        )
        if self._door.login_path and method == "GET" and wants_page:
            query = scope.get("query_string", b"").decode("latin-1")
            wanted = scope["path"] + (f"?{query}" if query else "")
            return Refusal(303, "log in", f"{self._door.login_path}?next={quote(wanted, safe='/')}")
        return Refusal(401, "log in first")
