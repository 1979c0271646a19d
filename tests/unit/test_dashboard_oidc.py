"""Logging in at a small OpenID provider: what it may get wrong, and what a thief may try."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.fix_dashboard_access import RULES

CLIENT = "fleetgauge-client"
KEY = RSAKey.generate_key(2048, parameters={"kid": "one", "use": "sig"})
OTHER_KEY = RSAKey.generate_key(2048, parameters={"kid": "one", "use": "sig"})


class Provider(ThreadingHTTPServer):
    """Answers as an OpenID provider; `change` alters the claims of its tokens."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.claims: dict[str, Any] = {
            "sub": "7",
            "preferred_username": "ada",
            "groups": ["viewer"],
        }
        self.key = KEY
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "one"}
        self.nonce = ""
        self.challenge = ""
        self.told: dict[str, str] = {}
        self.calls_itself = self.issuer

    def token(self) -> str:
        now = int(time.time())
        standing = {
            "iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": self.nonce,
        }  # fmt: skip
        claims = {k: v for k, v in (standing | self.claims).items() if v is not None}
        return jwt.encode(self.header, claims, self.key)


class Answers(BaseHTTPRequestHandler):
    server: Provider

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        provider = self.server
        if self.path == "/.well-known/openid-configuration":
            self.tell(
                {
                    "issuer": provider.calls_itself,
                    "authorization_endpoint": f"{provider.issuer}/authorize",
                    "token_endpoint": f"{provider.issuer}/token",
                    "jwks_uri": f"{provider.issuer}/keys",
                    "end_session_endpoint": f"{provider.issuer}/bye",
                    "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
                }
            )
        else:
            self.tell({"keys": [KEY.as_dict(private=False)]})

    def do_POST(self) -> None:
        provider = self.server
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        provider.told = {key: values[0] for key, values in parse_qs(body).items()}
        verifier = provider.told.get("code_verifier", "").encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).decode().rstrip("=")
        if digest != provider.challenge:
            self.tell({"error": "invalid_grant"}, 400)
            return
        self.tell({"access_token": "x", "token_type": "Bearer", "id_token": provider.token()})

    def tell(self, what: Any, status: int = 200) -> None:
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        thread = threading.Thread(target=provider.serve_forever)
        thread.start()
        yield provider
        provider.shutdown()
        thread.join()


@pytest.fixture
def browser(
    provider: Provider, serve_dashboard: Callable[..., str], tmp_path: Path
) -> Iterator[httpx.Client]:
    secret = tmp_path / "client-secret"
    secret.write_text("client secret")
    secret.chmod(0o600)
    address = serve_dashboard(
        database_url="host=127.0.0.1 port=1 dbname=none", access="oidc", access_rules=RULES,
        public_url="http://127.0.0.1:1", oidc_issuer=provider.issuer, oidc_client_id=CLIENT,
        oidc_client_secret_file=str(secret),
    )  # fmt: skip
    with httpx.Client(base_url=address, headers={"accept": "text/html"}) as client:
        yield client


def begin(browser: httpx.Client, provider: Provider, where: str = "/map") -> dict[str, str]:
    """Go where a login is needed, as far as the provider; return what it was asked for."""
    first = browser.get(where)
    assert first.status_code == 303
    assert first.headers["location"].startswith("/login?next=")
    second = browser.get(first.headers["location"])
    assert second.status_code == 302
    asked = {k: v[0] for k, v in parse_qs(urlsplit(second.headers["location"]).query).items()}
    provider.nonce, provider.challenge = asked["nonce"], asked["code_challenge"]
    return asked


def finish(browser: httpx.Client, asked: dict[str, str], **change: str) -> httpx.Response:
    query = {"code": "c0de", "state": asked["state"]} | change
    return browser.get("/login/done", params=query)


def test_t21_a_login_leads_back_to_where_it_was_needed(
    browser: httpx.Client, provider: Provider
) -> None:
    asked = begin(browser, provider, "/map?signal=power")
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "http://127.0.0.1:1/login/done"
    done = finish(browser, asked)
    assert (done.status_code, done.headers["location"]) == (303, "/map?signal=power")
    cookie = done.headers.get_list("set-cookie")[0].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert browser.get("/map").status_code == 200
    assert browser.get("/me").json() == {"name": "ada", "role": "viewer", "can_log_out": True}


def test_t21_logout_ends_it_for_every_copy_of_the_cookie(
    browser: httpx.Client, provider: Provider
) -> None:
    finish(browser, begin(browser, provider))
    stolen = dict(browser.cookies)
    headers = {"sec-fetch-site": "same-origin", "content-type": "application/json"}
    gone = browser.post("/logout", content=b"{}", headers=headers)
    assert gone.json()["next"].startswith(f"{provider.issuer}/bye?")
    browser.cookies.update(stolen)
    assert browser.get("/me", headers={"accept": "*/*"}).status_code == 401
    assert browser.get("/logged-out").status_code == 200


def test_t09_a_foreign_page_logs_nobody_out(browser: httpx.Client, provider: Provider) -> None:
    finish(browser, begin(browser, provider))
    headers = {"origin": "http://evil.example", "content-type": "application/json"}
    assert browser.post("/logout", content=b"{}", headers=headers).status_code == 403
    assert browser.get("/me").status_code == 200


@pytest.mark.parametrize(
    "claims",
    [{"iss": "http://evil.example"}, {"iss": None}, {"aud": "another"}, {"aud": None},
     {"nonce": "another"}, {"nonce": None}, {"exp": 5}, {"exp": None}, {"sub": None}],
    ids=str,
)  # fmt: skip
def test_t21_a_token_that_is_not_for_us_is_refused(
    browser: httpx.Client, provider: Provider, claims: dict[str, Any]
) -> None:
    asked = begin(browser, provider)
    provider.claims |= claims
    assert finish(browser, asked).status_code == 400
    assert browser.get("/me", headers={"accept": "*/*"}).status_code == 401


def test_t21_a_token_signed_by_another_is_refused(
    browser: httpx.Client, provider: Provider
) -> None:
    asked = begin(browser, provider)
    provider.key = OTHER_KEY
    assert finish(browser, asked).status_code == 400


def test_t21_an_answer_is_taken_once_and_only_by_the_browser_that_asked(
    browser: httpx.Client, provider: Provider
) -> None:
    asked = begin(browser, provider)
    with httpx.Client(base_url=browser.base_url) as thief:
        assert finish(thief, asked).status_code == 400
    assert finish(browser, asked).status_code == 303
    assert finish(browser, asked).status_code == 400


@pytest.mark.parametrize("change", [{"state": "other"}, {"state": ""}, {"iss": "http://evil"}])
def test_t21_a_made_up_answer_is_refused(
    browser: httpx.Client, provider: Provider, change: dict[str, str]
) -> None:
    assert finish(browser, begin(browser, provider), **change).status_code == 400


def test_t21_a_code_that_was_slipped_in_fails_at_the_provider(
    browser: httpx.Client, provider: Provider
) -> None:
    asked = begin(browser, provider)
    provider.challenge = "of another login"
    assert finish(browser, asked).status_code == 400


def test_t21_somebody_without_a_rule_is_known_and_not_let_in(
    browser: httpx.Client, provider: Provider
) -> None:
    asked = begin(browser, provider)
    provider.claims["groups"] = ["visitors"]
    assert finish(browser, asked).status_code == 403
    assert browser.get("/me", headers={"accept": "*/*"}).status_code == 401


def test_t21_logins_are_begun_at_a_persons_pace(browser: httpx.Client, provider: Provider) -> None:
    answers = [browser.get("/login").status_code for _ in range(40)]
    assert answers[:30] == [302] * 30
    assert set(answers[30:]) == {429}


def test_a_provider_that_calls_itself_otherwise_is_not_ours(
    browser: httpx.Client, provider: Provider
) -> None:
    provider.calls_itself = "http://evil.example"
    assert browser.get("/login").status_code == 503


def test_a_file_or_a_call_gets_401_and_no_login_page(
    browser: httpx.Client, provider: Provider
) -> None:
    answer = browser.get("/assets/05-page.js", headers={"accept": "*/*"})
    assert answer.status_code == 401
    assert answer.json() == {"error": "log in first"}
