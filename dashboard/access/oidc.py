"""Logging in at an OpenID provider: authorization code with PKCE, by Authlib.

Owns the routes for it, the cookies, and what must hold of an answer beyond what Authlib checks
(state, PKCE, signature, nonce, times): the issuer and the audience are ours, and the browser is
the one that began. A login lives in `sessions.py`, the claims become a role in `identity.py`.
"""

import logging
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from fastapi import FastAPI, Request, Response
from joserfc.errors import JoseError
from starlette.responses import HTMLResponse, RedirectResponse

from dashboard.access.gate import Scope, Visit
from dashboard.access.identity import identify
from dashboard.access.sessions import Sessions
from dashboard.access.settings import AccessSettings, secret
from telemetry.clock import Clock

log = logging.getLogger(__name__)

BEGUN_S_MAX = 600.0
BEGUN_MAX = 2000
# Begun logins of one address in a minute: a person needs one.
BEGUN_PER_MINUTE_MAX = 30
NEXT_CHARS_MAX = 2000
PROVIDER_TIMEOUT_S = 10.0
# Signatures whose key the provider alone has; `none` and shared secrets are not among them.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")


@dataclass(slots=True)
class _Begun:
    """A login that waits for the browser to come back; Authlib keeps state and nonce in `data`."""

    at_s: float
    peer: str
    next: str
    data: dict[str, Any] = field(default_factory=dict)


class OidcDoor:
    """Knows whoever has a login here, and lets people log in."""

    login_path = "/login"

    def __init__(self, settings: AccessSettings, sessions: Sessions, clock: Clock) -> None:
        self._settings = settings
        self._sessions = sessions
        self._clock = clock
        self._begun: OrderedDict[str, _Begun] = OrderedDict()
        self._url = settings.public_url.rstrip("/")
        self._is_secure = self._url.startswith("https:")
        # `__Host-` binds a cookie to this very name: no neighbour can set or shadow it.
        prefix = "__Host-" if self._is_secure else ""
        self._cookie, self._begun_cookie = f"{prefix}fleetgauge", f"{prefix}fleetgauge-login"
        self._client = OAuth().register(
            "fleetgauge",
            client_id=settings.oidc_client_id,
            client_secret=secret(settings.oidc_client_secret_file),
            server_metadata_url=(
                settings.oidc_issuer.rstrip("/") + "/.well-known/openid-configuration"
            ),
            client_kwargs={
                "scope": settings.oidc_scopes,
                "code_challenge_method": "S256",
                "timeout": PROVIDER_TIMEOUT_S,
                "follow_redirects": False,
            },
        )

    def recognise(self, scope: Scope) -> Visit | None:
        """Return whose login the browser has."""
        token = _cookie(scope, self._cookie)
        identity = self._sessions.find(token) if token else None
        if identity is None:
            return None
        return Visit(identity, lambda: self._sessions.find(token) is not None)

    def add_routes(self, server: FastAPI) -> None:
        """Add /login, /login/done, /logout and /logged-out."""
        server.get("/login")(self._login)
        server.get("/login/done")(self._done)
        server.post("/logout")(self._logout)
        server.get("/logged-out")(self._logged_out)

    async def _login(self, request: Request) -> Response:
        peer = request.client.host if request.client else ""
        now_s = self._clock.monotonic_s()
        for name in [n for n, b in self._begun.items() if now_s - b.at_s > BEGUN_S_MAX]:
            del self._begun[name]
        recent = [b for b in self._begun.values() if b.peer == peer and now_s - b.at_s < 60]
        if len(recent) >= BEGUN_PER_MINUTE_MAX:
            return _page(429, "Too many logins were begun. Try again in a minute.")
        begun = _Begun(now_s, peer, local_path(request.query_params.get("next", "/")))
        request.scope["session"] = begun.data
        try:
            await self._metadata()
            answer: Response = await self._client.authorize_redirect(
                request, f"{self._url}/login/done"
            )
        except (AuthlibBaseError, httpx2.HTTPError, ValueError, RuntimeError) as error:
            return self._failed(error, 503, "The login provider does not answer as it should.")
        handle = secrets.token_urlsafe(32)
        self._begun[handle] = begun
        while len(self._begun) > BEGUN_MAX:
            self._begun.popitem(last=False)
        self._set_cookie(answer, self._begun_cookie, handle, BEGUN_S_MAX)
        return answer

    async def _done(self, request: Request) -> Response:
        begun = self._begun.pop(request.cookies.get(self._begun_cookie, ""), None)
        if begun is None or self._clock.monotonic_s() - begun.at_s > BEGUN_S_MAX:
            return _page(400, "This login was not begun in this browser, or too long ago.")
        request.scope["session"] = begun.data
        try:
            issuer = (await self._metadata())["issuer"]
            if request.query_params.get("iss", issuer) != issuer:
                raise ValueError("the answer is of another issuer")  # noqa: TRY301 - see below
            token = await self._client.authorize_access_token(
                request,
                claims_options={
                    "iss": {"essential": True, "value": issuer},
                    "aud": {"essential": True, "value": self._settings.oidc_client_id},
                    "sub": {"essential": True},
                    "exp": {"essential": True},
                },
            )
            claims = token["userinfo"]
        except (AuthlibBaseError, JoseError, httpx2.HTTPError) as error:
            return self._failed(error, 400, "The login was not accepted.")
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            return self._failed(error, 400, "The login was not accepted.")
        identity = identify(claims, self._settings.access_rules, self._settings.name_claim)
        if identity is None:
            log.warning("nobody let in: no rule matches the claims of %r", claims.get("sub"))
            return _page(403, "You are known, but no rule lets you in. Ask the administrator.")
        if before := request.cookies.get(self._cookie):
            self._sessions.end(before)
        log.info("logged in: %r as %s", identity.name, identity.role)
        answer = RedirectResponse(begun.next, status_code=303)
        token_text = self._sessions.start(identity)
        self._set_cookie(answer, self._cookie, token_text, self._settings.session_absolute_s)
        answer.delete_cookie(self._begun_cookie, path="/", secure=self._is_secure, httponly=True)
        return answer

    async def _logout(self, request: Request) -> Response:
        self._sessions.end(request.cookies.get(self._cookie, ""))
        after = f"{self._url}/logged-out"
        try:
            where = await self._client.create_logout_url(
                post_logout_redirect_uri=after, client_id=self._settings.oidc_client_id
            )
            after = where["url"]
        except (AuthlibBaseError, httpx2.HTTPError, ValueError, RuntimeError):
            log.debug("the provider has no logout of its own")
        answer = Response(msgspec.json.encode({"next": after}), media_type="application/json")
        answer.delete_cookie(self._cookie, path="/", secure=self._is_secure, httponly=True)
        return answer

    async def _logged_out(self) -> Response:
        return _page(200, "You are logged out.")

    async def _metadata(self) -> dict[str, Any]:
        """Return what the provider says of itself, once it is found to be ours."""
        metadata: dict[str, Any] = await self._client.load_server_metadata()
        if metadata.get("issuer", "").rstrip("/") != self._settings.oidc_issuer.rstrip("/"):
            self._client.server_metadata.clear()
            raise ValueError(f"the provider calls itself {metadata.get('issuer')!r}")
        offered = metadata.get("id_token_signing_alg_values_supported", [])
        metadata["id_token_signing_alg_values_supported"] = [
            name for name in offered if name in ALGORITHMS
        ] or ["RS256"]
        return metadata

    def _failed(self, error: Exception, status: int, words: str) -> Response:
        log.warning("a login failed: %s: %s", type(error).__name__, error)
        return _page(status, words)

    def _set_cookie(self, answer: Response, name: str, value: str, max_age_s: float) -> None:
        answer.set_cookie(
            name, value, max_age=int(max_age_s), path="/", secure=self._is_secure, httponly=True,
            samesite="lax",
        )  # fmt: skip


def local_path(wanted: str) -> str:
    """Return where to go after a login: a path here, whatever was asked for."""
    parts = urlsplit(wanted)
    is_local = (
        wanted.startswith("/")
        and not wanted.startswith(("//", "/\\"))
        and not (parts.scheme or parts.netloc)
        and wanted.isprintable()
        and wanted.isascii()
        and "\\" not in wanted
        and len(wanted) <= NEXT_CHARS_MAX
        and parts.path not in ("/login", "/logout", "/login/done")
    )
    return wanted if is_local else "/"


def _cookie(scope: Scope, name: str) -> str:
    """Return a cookie's value; empty where it is not there, or twice."""
    found = [
        value
        for key, header in scope["headers"]
        if key == b"cookie"
        for part in header.decode("latin-1").split(";")
        for label, _, value in [part.strip().partition("=")]
        if label == name
    ]
    return found[0] if len(found) == 1 else ""


def _page(status: int, words: str) -> Response:
    return HTMLResponse(
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Fleetgauge</title>'
        f'<p>{escape(words)}</p><p><a href="/">Fleetgauge</a></p></html>',
        status_code=status,
    )
