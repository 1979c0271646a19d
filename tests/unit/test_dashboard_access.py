"""Access without a server: rules, who is believed, which paths there are, logins that end."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.access.gate import Gate, OpenDoor, Refusal, Visit
from dashboard.access.identity import AccessRule, Identity, Role, identify
from dashboard.access.oidc import local_path
from dashboard.access.proxy import ProxyDoor
from dashboard.access.routes import Routes
from dashboard.access.sessions import Sessions
from dashboard.command import DEBUGGING, refuse_debugging
from dashboard.pages import PAGES
from dashboard.settings import DashboardSettings
from fleetgauge.__main__ import main
from telemetry.clock import Clock
from telemetry.errors import ConfigError
from tests.fix_dashboard_access import RULES, SECRET, as_role, rule

ME = Identity("ada", Role.VIEWER, "acme")


class Hands(Clock):
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at_s = 1_800_000_000.0

    def now_us(self) -> int:
        return int(self.at_s * 1e6)

    def monotonic_s(self) -> float:
        return self.at_s


def asks(path: str = "/", method: str = "GET", peer: str = "127.0.0.1", **headers: str) -> Any:
    pairs = [(k.replace("_", "-").lower().encode(), v.encode()) for k, v in headers.items()]
    return {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "headers": pairs, "client": (peer, 5), "query_string": b"",
    }  # fmt: skip


def named(peer: str = "127.0.0.1", group: str = "viewer", **headers: str) -> Any:
    return asks(peer=peer, **as_role(group) | headers)


# ------------------------------------------------------------------------------------- rules


def test_the_first_rule_that_matches_counts() -> None:
    rules = (rule("ops", "operator"), rule("staff", "viewer"))
    claims = {"sub": "1", "preferred_username": "ada", "groups": ["staff", "ops"]}
    found = identify(claims, rules, "preferred_username")
    assert found == Identity("ada", Role.OPERATOR, "acme")


@pytest.mark.parametrize(
    "claims",
    [{}, {"groups": []}, {"groups": None}, {"groups": {"staff": 1}},
     {"groups": [1, True, ["staff"]]}, {"groups": "staff,other"}, {"sub": "x", "groups": "STAFF"}],
)  # fmt: skip
def test_odd_claims_let_nobody_in(claims: dict[str, Any]) -> None:
    assert identify({"sub": "1"} | claims, (rule("staff", "viewer"),), "sub") is None


def test_a_claim_may_be_inside_another_and_an_unverified_address_is_none() -> None:
    inside = AccessRule(claim="realm.roles", value="x", role=Role.VIEWER, tenant="*")
    assert inside.matches({"realm": {"roles": ["x"]}})
    mail = AccessRule(claim="email", value="a@b", role=Role.ADMIN, tenant="*")
    assert not mail.matches({"email": "a@b"})
    assert mail.matches({"email": "a@b", "email_verified": True})


def test_a_landlord_has_a_facility() -> None:
    with pytest.raises(msgspec.ValidationError, match="landlord"):
        msgspec.convert(
            {"claim": "g", "value": "x", "role": "landlord", "tenant": "acme"}, AccessRule
        )


def test_a_name_is_printable_and_short() -> None:
    found = identify(
        {"sub": "a\n\x1b[2Jb" + "x" * 500, "groups": "s"}, (rule("s", "viewer"),), "sub"
    )
    assert found is not None
    assert found.name.startswith("a[2Jbx")
    assert len(found.name) == 120


# ------------------------------------------------------------------------------------- proxy


@pytest.fixture
def door(proxied: dict[str, Any]) -> ProxyDoor:
    peers = "10.1.2.3, 192.0.2.0/30, 2001:db8::5, 127.0.0.1"
    return ProxyDoor(DashboardSettings(**proxied | {"proxy_peers": peers}))


@pytest.mark.parametrize(
    ("peer", "is_trusted"),
    [("10.1.2.3", True), ("10.1.2.4", False), ("192.0.2.3", True), ("192.0.2.4", False),
     ("2001:db8::5", True), ("2001:db8::6", False), ("::ffff:10.1.2.3", True),
     ("::ffff:10.1.2.4", False), ("::10.1.2.3", False), ("unix", False), ("", False)],
)  # fmt: skip
def test_t20_only_the_listed_peers_are_believed(
    door: ProxyDoor, peer: str, is_trusted: bool
) -> None:
    assert (door.recognise(named(peer)) is not None) is is_trusted


@pytest.mark.parametrize(
    "headers",
    [{"X-Fleetgauge-Secret": "wrong"}, {"X-Fleetgauge-Secret": ""}, {"X-Forwarded-User": ""},
     {"X-Forwarded-User": " "}, {"X-Forwarded-Groups": "nobody"}, {"X-Forwarded-Groups": ""}],
)  # fmt: skip
def test_t20_a_peer_without_the_secret_or_a_user_is_nobody(
    door: ProxyDoor, headers: dict[str, str]
) -> None:
    assert door.recognise(named(**headers)) is None


def test_t20_headers_that_stand_twice_are_not_believed(door: ProxyDoor) -> None:
    for name in (b"x-forwarded-user", b"x-fleetgauge-secret"):
        scope = named()
        scope["headers"].append((name, b"admin"))
        assert door.recognise(scope) is None


def test_t20_the_headers_are_taken_off_every_request(door: ProxyDoor) -> None:
    for peer in ("127.0.0.1", "203.0.113.9"):
        scope = named(peer, Accept="text/html")
        door.recognise(scope)
        assert scope["headers"] == [(b"accept", b"text/html")]


# ------------------------------------------------------------------------------------- routes


@pytest.mark.parametrize(
    "path",
    ["//", "/map/", "//map", "/map//", "/./map", "/map/..", "/assets/../map", "/assets/.secret",
     "/MAP", "/map.", "/map;x", "/map%2f", "/%6dap", "/map\\", "/map\x00", "/map ", "/\u212aap", "",
     "map", "*", "/_dash-ws-callback", "/_reload-hash", "/_mcp", "/metrics", "/docs",
     "/openapi.json", "/assets", "/frame/", "/frame"],
)  # fmt: skip
def test_t08_another_spelling_is_no_path(path: str) -> None:
    routes = Routes(PAGES)
    assert [routes.roles(method, path) for method in ("GET", "POST", "SOCKET", "TRACE")] == [
        None
    ] * 4


def test_t08_a_path_must_be_asked_for_as_it_is_written() -> None:
    gate = Gate(OpenDoor(), Routes(PAGES))
    assert isinstance(gate.decide(asks("/map")), Visit)
    scope = asks("/map") | {"raw_path": b"/%6dap"}
    assert gate.decide(scope) == Refusal(404, "there is no such page")


@given(st.text(max_size=30), st.sampled_from(["GET", "POST", "PUT", "SOCKET"]))
def test_t08_any_path_is_decided(text: str, method: str) -> None:
    scope = asks("/") | {"path": text, "raw_path": text.encode(errors="replace"), "method": method}
    verdict = Gate(OpenDoor(), Routes(PAGES)).decide(scope)
    assert verdict is None or isinstance(verdict, Visit | Refusal)


@pytest.mark.parametrize(
    ("wanted", "gone_to"),
    [("/map?signal=power", "/map?signal=power"), ("//evil", "/"), ("/\\evil", "/"),
     ("https://evil", "/"), ("/\r\nx: y", "/"), ("javascript:alert(1)", "/"), ("", "/"),
     ("/" + "x" * 5000, "/"), ("/logout", "/"), ("/\u202eevil", "/")],
)  # fmt: skip
def test_t08_after_a_login_one_stays_here(wanted: str, gone_to: str) -> None:
    assert local_path(wanted) == gone_to


# ------------------------------------------------------------------------------------- logins


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def sessions(hands: Hands) -> Sessions:
    return Sessions(hands, file="", idle_s=600, absolute_s=3600)


def test_t21_a_login_ends_when_it_is_not_used(sessions: Sessions, hands: Hands) -> None:
    token = sessions.start(ME)
    hands.at_s += 500
    assert sessions.find(token) == ME
    hands.at_s += 500
    assert sessions.find(token) == ME
    hands.at_s += 601
    assert sessions.find(token) is None


def test_t21_a_login_ends_after_its_time_however_much_it_is_used(
    sessions: Sessions, hands: Hands
) -> None:
    token = sessions.start(ME)
    for _ in range(7):
        hands.at_s += 500
        assert sessions.find(token) == ME
    hands.at_s += 101
    assert sessions.find(token) is None


def test_t21_logout_ends_it_on_the_server(sessions: Sessions) -> None:
    token, other = sessions.start(ME), sessions.start(ME)
    sessions.end(token)
    assert sessions.find(token) is None
    assert sessions.find(other) == ME


@pytest.mark.parametrize("token", ["", "x", "' or 1=1 --", "\x00", "é" * 5000])
def test_t21_a_made_up_token_is_nobodys(sessions: Sessions, token: str) -> None:
    sessions.start(ME)
    assert sessions.find(token) is None


def test_t21_logins_in_a_file_outlive_a_restart_and_the_file_lets_nobody_in(
    tmp_path: Path, hands: Hands
) -> None:
    path = tmp_path / "sessions"
    first = Sessions(hands, file=str(path), idle_s=600, absolute_s=3600)
    token = first.start(ME)
    first.close()
    assert token.encode() not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert Sessions(hands, file=str(path), idle_s=600, absolute_s=3600).find(token) == ME


# ------------------------------------------------------------------------------------- settings


def test_t23_a_secret_that_everybody_can_read_stops_the_start(
    tmp_path: Path, proxied: dict[str, Any]
) -> None:
    path = tmp_path / "open"
    path.write_text(SECRET)
    os.chmod(path, 0o644)  # noqa: PTH101 - as an administrator would
    with pytest.raises(ValueError, match="everybody"):
        DashboardSettings(**proxied | {"proxy_secret_file": str(path)})


@pytest.mark.parametrize(
    "change",
    [{"access_rules": ()}, {"proxy_peers": ""}, {"proxy_secret_file": ""},
     {"proxy_peers": "10.0.0.1/8"}, {"proxy_peers": "somewhere"}],
)  # fmt: skip
def test_an_incomplete_way_in_stops_the_start(
    proxied: dict[str, Any], change: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        DashboardSettings(**proxied | change)


def test_with_access_control_any_address_will_do(proxied: dict[str, Any]) -> None:
    assert DashboardSettings(**proxied, listen_address="0.0.0.0:80").port == 80
    assert len(RULES) > 4


@pytest.mark.parametrize("name", DEBUGGING)
def test_t23_debugging_is_refused_where_others_can_look(proxied: dict[str, Any], name: str) -> None:
    for_others = DashboardSettings(listen_address="0.0.0.0:8050", **proxied)
    for value in ("1", "true", "ON"):
        with pytest.raises(ConfigError, match=name):
            refuse_debugging(for_others, {name: value})
    refuse_debugging(for_others, {name: "0"})
    refuse_debugging(DashboardSettings(), {name: "1"})


def test_t23_the_program_asks_before_it_starts(
    proxied: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "dashboard.toml"
    config.write_text(
        'access = "proxy"\nproxy_peers = "10.0.0.1"\nlisten_address = "0.0.0.0:0"\n'
        f'proxy_secret_file = "{proxied["proxy_secret_file"]}"\n'
        '[[access_rules]]\nclaim = "user"\nvalue = "ann"\nrole = "viewer"\ntenant = "acme"\n'
    )
    monkeypatch.setenv("DASH_DEBUG", "true")
    assert main(["dashboard", "--config", str(config)]) == 2
