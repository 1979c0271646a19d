"""All that can be asked for, and by whom: what is not here is not there.

Owns the list, and which spellings of a path are taken. Pages come from `dashboard.pages`; any
other route needs a line here. Pure.
"""

import re
from collections.abc import Mapping

from dashboard.access.identity import ADMINS, EVERY_ROLE, OPERATORS, STAFF, Role

Roles = frozenset[Role]

READ = frozenset({"GET", "HEAD"})
CHANGE = frozenset({"POST"})
SOCKET = frozenset({"SOCKET"})

# Before anybody is known. What these say is the same for all.
PUBLIC = {"/healthz": READ}
PUBLIC_FOR_LOGIN = {"/login": READ, "/login/done": READ, "/logged-out": READ}
OWN = {
    "/_dash-layout": (READ, EVERY_ROLE),
    "/_dash-dependencies": (READ, EVERY_ROLE),
    "/_dash-update-component": (CHANGE, EVERY_ROLE),
    "/_favicon.ico": (READ, EVERY_ROLE),
    "/live": (SOCKET, EVERY_ROLE),
    "/find": (READ, EVERY_ROLE),
    "/cell": (READ, EVERY_ROLE),
    "/map/at": (READ, EVERY_ROLE),
    "/me": (READ, EVERY_ROLE),
    "/logout": (CHANGE, EVERY_ROLE),
    "/export/samples.csv": (READ, EVERY_ROLE),
    "/export/events.csv": (READ, EVERY_ROLE),
    "/act/acknowledge": (CHANGE, OPERATORS),
    "/act/assign": (CHANGE, OPERATORS),
    "/act/comment": (CHANGE, OPERATORS),
    "/act/silence": (CHANGE, OPERATORS),
    "/act/end-silence": (CHANGE, OPERATORS),
}
FOLDERS = {
    "/assets/": (READ, EVERY_ROLE),
    "/_dash-component-suites/": (READ, EVERY_ROLE),
    "/frame/": (READ, EVERY_ROLE),
}
# Pages that do not belong to all who work for the fleet.
PAGE_ROLES = {
    "/": EVERY_ROLE,
    "/map": EVERY_ROLE,
    "/facility": EVERY_ROLE,
    "/host": EVERY_ROLE,
    "/health": EVERY_ROLE,
    "/audit": ADMINS,
}

# One spelling a path: no empty, dotted or encoded parts, so that no two parties read it otherwise.
_PLAIN = re.compile(r"/|(/[A-Za-z0-9_@-][A-Za-z0-9_@.-]*(?<!\.))+")


def page_roles(path: str) -> Roles:
    """Return who may open a page."""
    return PAGE_ROLES.get(path, STAFF)


class Routes:
    """The list, with the pages in it."""

    def __init__(self, pages: Mapping[str, object], *, with_login: bool = False) -> None:
        self._public = PUBLIC | (PUBLIC_FOR_LOGIN if with_login else {})
        self._exact = {path: (READ, page_roles(path)) for path in pages} | OWN

    def is_public(self, method: str, path: str) -> bool:
        """Whether anybody may ask for this."""
        return method in self._public.get(path, frozenset())

    def roles(self, method: str, path: str) -> Roles | None:
        """Return who may ask for this; None where there is no such thing."""
        if not _PLAIN.fullmatch(path):
            return None
        found = self._exact.get(path)
        if found is None:
            found = next(
                (rule for folder, rule in FOLDERS.items() if path.startswith(folder)), None
            )
        return found[1] if found is not None and method in found[0] else None
