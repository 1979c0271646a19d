"""Where webhooks may not go, in every way of writing it that is known to have worked somewhere."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.notifiers.address import ForbiddenTarget, Policy, check_target, resolve_name

PUBLIC = "93.184.215.14"
NOWHERE = Policy()


def public(host: str, port: int) -> list[str]:
    return [PUBLIC]


FORBIDDEN = [
    # loopback, in its own words and in disguise
    "https://127.0.0.1/", "https://127.1/", "https://127.0.1/", "https://2130706433/",
    "https://0x7f000001/", "https://0x7f.1/", "https://0177.0.0.1/", "https://017700000001/",
    "https://0x7F.0x0.0x0.0x1/", "https://127.0.0.1./", "https://0/", "https://0.0.0.0/",
    "https://127.127.127.127/", "https://00000127.0.0.1/", "https://localhost.127.0.0.1/",
    "https://[::1]/", "https://[::]/", "https://[0:0:0:0:0:0:0:1]/",
    "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/",
    # private, link-local, metadata, shared, benchmark, documentation, multicast, broadcast
    "https://10.0.0.1/", "https://172.16.0.1/", "https://172.31.255.255/",
    "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data/",
    "https://[::ffff:169.254.169.254]/", "https://[fd00:ec2::254]/", "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/", "https://[fc00::1]/", "https://100.64.0.1/",
    "https://198.18.0.1/", "https://192.0.2.1/", "https://192.0.0.1/", "https://224.0.0.1/",
    "https://[ff02::1]/", "https://255.255.255.255/", "https://240.0.0.1/",
    # IPv4 inside IPv6
    "https://[64:ff9b::7f00:1]/", "https://[64:ff9b::a9fe:a9fe]/", "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/", "https://[64:ff9b:1::1]/",
    # other schemes, other ports, plain http
    "http://hooks.example.com/", "gopher://hooks.example.com/_x", "file:///etc/passwd",
    "ftp://hooks.example.com/", "dict://127.0.0.1:11211/", "//hooks.example.com/", "hooks", "",
    "javascript:alert(1)", "https:///nowhere", "https://", "https://:443/",
    "https://hooks.example.com:22/", "https://hooks.example.com:8443/",
    "https://hooks.example.com:0/", "https://hooks.example.com:99999/",
    "https://hooks.example.com:443x/",
    # users, backslashes, spaces, control characters, look-alikes
    "https://hooks.example.com@127.0.0.1/", "https://a:b@hooks.example.com/",
    "https://@hooks.example.com/", "https://hooks.example.com\\@127.0.0.1/",
    "https://hooks.example.com /", "https://hooks.example.com\t/", "https://hooks\n.example.com/",
    "https://hooks.example.com\r\nX-Evil: 1/", "https://ⓔxample.com/", "https://127。0。0。1/",
    "https://bücher.example/", "https://%31%32%37.0.0.1/", "https://hooks_.-.com/",
    "https://hooks..example.com/", "https://[::1", "https://[127.0.0.1]/",
    "https://[v1.fe80::]/", "https://hooks.example.com/" + "a" * 3000, "https://-.1/",
]  # fmt: skip


@pytest.mark.parametrize("url", FORBIDDEN)
def test_a_forbidden_target_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ForbiddenTarget):
        check_target(url, NOWHERE, public)


def test_there_are_enough_forms_of_it() -> None:
    assert len(set(FORBIDDEN)) >= 60


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fd00::1", "fe80::1%2"],
)
def test_a_name_that_leads_inside_is_refused_even_beside_a_public_address(address: str) -> None:
    with pytest.raises(ForbiddenTarget):
        check_target("https://hooks.example.com/", NOWHERE, lambda *_: [PUBLIC, address])


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    target = check_target(
        "https://Hooks.Example.com/in?token=1#part", NOWHERE, lambda *_: next(answers)
    )
    assert target.pinned_url == f"https://{PUBLIC}:443/in?token=1"
    assert (target.host, target.host_header) == ("hooks.example.com", "hooks.example.com")


def test_an_ipv6_target_is_written_in_brackets() -> None:
    target = check_target("https://[2606:2800:21f::1]/", NOWHERE, public)
    assert target.pinned_url == "https://[2606:2800:21f::1]:443/"
    assert target.host_header == "[2606:2800:21f::1]"


def test_a_deployment_may_allow_a_network_with_any_port_and_plain_http() -> None:
    policy = Policy([ip_network("10.2.0.0/16")])
    target = check_target("http://10.2.3.4:8080/x", policy, public)
    assert (target.pinned_url, target.host_header) == ("http://10.2.3.4:8080/x", "10.2.3.4:8080")
    assert check_target("https://[::ffff:10.2.3.4]/", policy, public)
    for url in ("http://10.3.0.1/", "http://hooks.example.com/", "https://10.3.0.1/"):
        with pytest.raises(ForbiddenTarget):
            check_target(url, policy, public)


def test_a_deployment_may_allow_further_ports() -> None:
    policy = Policy(ports=frozenset({443, 8443}))
    assert check_target("https://hooks.example.com:8443/", policy, public).port == 8443


def test_a_name_without_an_address_is_worth_another_try() -> None:
    with pytest.raises(OSError, match="no address"):
        check_target("https://hooks.example.com/", NOWHERE, lambda *_: [])


def test_the_resolver_answers_for_this_machine() -> None:
    assert "127.0.0.1" in resolve_name("127.0.0.1", 443)


@given(st.text(max_size=60), st.sampled_from(["https://", "http://", "", "https://["]))
def test_any_text_is_refused_or_leads_to_a_public_address(text: str, scheme: str) -> None:
    try:
        target = check_target(scheme + text, NOWHERE, public)
    except ForbiddenTarget:
        return
    assert target.scheme == "https"
    assert target.port == 443


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_no_spelling_of_an_inner_address_gets_through(address: object) -> None:
    number = int(address)  # type: ignore[call-overload]
    a, b, c, d = number.to_bytes(4, "big")
    spellings = [
        f"{a}.{b}.{c}.{d}", str(number), hex(number), oct(number).replace("0o", "0"),
        f"{a}.{(b << 16) + (c << 8) + d}", f"0x{a:x}.{b}.{c}.{d}", f"{a}.{b}.{(c << 8) + d}",
        f"[::ffff:{a}.{b}.{c}.{d}]", f"[64:ff9b::{a:02x}{b:02x}:{c:02x}{d:02x}]",
        f"[2002:{a:02x}{b:02x}:{c:02x}{d:02x}::]",
    ]  # fmt: skip
    for host in spellings:
        with pytest.raises(ForbiddenTarget):
            check_target(f"https://{host}/", NOWHERE, public)
