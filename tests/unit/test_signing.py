"""Keys and signatures: what they prove, and what they must never show."""

import base64
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.key_file import KeySigner, make_key_file, read_key_file
from fleetgauge.__main__ import main
from telemetry.errors import ConfigError, DecodeError
from telemetry.signing import (
    SIGNATURE_HEADER,
    SigningKey,
    fingerprint_of,
    is_signed_by,
    key_id_of,
    make_request,
    read_request,
    show_fingerprint,
)

KEY = SigningKey(bytes(range(32)))
NOW_US = 1_800_000_000_000_000


def request(key: SigningKey = KEY, host: str = "node-1") -> str:
    return make_request(key, tenant="lab", facility="east", host=host, now_us=NOW_US)


def test_a_signature_fits_its_message_and_no_other() -> None:
    envelope = KEY.sign_message(b"value")
    assert key_id_of(envelope) == fingerprint_of(KEY.public_key)[:16]
    assert is_signed_by(KEY.public_key, envelope, b"value")
    assert not is_signed_by(KEY.public_key, envelope, b"valuf")
    assert not is_signed_by(SigningKey(bytes(32)).public_key, envelope, b"value")
    # What signs a request signs no message.
    proof = envelope[:17] + KEY.sign_request(b"value")
    assert not is_signed_by(KEY.public_key, proof, b"value")


@given(st.integers(0, 80), st.integers(1, 255))
def test_a_signature_with_any_byte_changed_is_none(position: int, flip: int) -> None:
    envelope = bytearray(KEY.sign_message(b"value"))
    envelope[position] ^= flip
    changed = bytes(envelope)
    named = key_id_of(changed) == fingerprint_of(KEY.public_key)[:16]
    assert not (named and is_signed_by(KEY.public_key, changed, b"value"))


@given(st.binary(max_size=200))
def test_a_header_of_any_other_form_names_no_key(junk: bytes) -> None:
    assert len(junk) == 81 or key_id_of(junk) is None


def test_a_request_says_who_asks_and_proves_that_they_hold_the_key() -> None:
    line = request()
    assert "\n" not in line
    asked = read_request(line)
    assert (asked.tenant, asked.facility, asked.host) == ("lab", "east", "node-1")
    assert asked.public_key == KEY.public_key
    assert asked.fingerprint == show_fingerprint(KEY.fingerprint)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "node-2"),
        ("tenant", "other"),
        ("created", "2030-01-01T00:00:00Z"),
        ("fingerprint", "SHA256:x"),
        ("public_key", base64.b64encode(bytes(32)).decode()),
        ("proof", base64.b64encode(bytes(64)).decode()),
        ("more", 1),
        ("host", "x" * 129),
        ("host", "<script>"),
    ],
)
def test_a_request_that_was_changed_is_refused(name: str, value: object) -> None:
    changed = json.loads(request()) | {name: value}
    with pytest.raises(DecodeError):
        read_request(json.dumps(changed))


@given(st.text(max_size=300))
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        read_request(text)


def test_t03_a_key_file_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "agent.key"
    made = make_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert read_key_file(path).public_key == made.public_key
    with pytest.raises(ConfigError, match="there is a key already"):
        make_key_file(path)
    path.chmod(0o440)
    with pytest.raises(ConfigError, match="others than its owner"):
        read_key_file(path)


def test_a_key_file_is_one_that_openssl_reads(tmp_path: Path) -> None:
    path = tmp_path / "agent.key"
    made = make_key_file(path)
    der = subprocess.run(
        ["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"],
        capture_output=True,
        check=True,
    ).stdout
    assert der.endswith(made.public_key)


@pytest.mark.parametrize("text", ["", "secret words", "-----BEGIN PRIVATE KEY-----\nAAAA\n", "\0"])
def test_a_file_that_is_no_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "agent.key"
    path.write_text(text)
    path.chmod(0o400)
    with pytest.raises(ConfigError) as caught:
        read_key_file(path)
    assert "secret" not in str(caught.value)


def test_a_key_shows_nothing_of_itself() -> None:
    seed = os.urandom(32)
    key = SigningKey(seed)
    shown = repr(key) + str(KeySigner(key)) + repr(vars(KeySigner(key)))
    assert seed.hex() not in shown
    assert repr(seed) not in shown


def test_a_signer_gives_the_header_that_goes_with_a_value() -> None:
    ((name, envelope),) = KeySigner(KEY).headers(b"value")
    assert name == SIGNATURE_HEADER
    assert is_signed_by(KEY.public_key, envelope, b"value")


def test_enrolling_makes_a_key_once_and_prints_its_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys" / "agent.key"
    words = [
        "agent", "enroll", "--signing-key-file", str(path), "--tenant", "lab",
        "--facility", "east", "--host", "node-1",
    ]  # fmt: skip
    assert main(words) == 0
    first = capsys.readouterr()
    assert main(words) == 0
    second = capsys.readouterr()
    asked, again = read_request(first.out), read_request(second.out)
    assert asked.public_key == again.public_key == read_key_file(path).public_key
    assert asked.fingerprint in first.err
    secret = path.read_text().split("\n")[1]
    assert secret not in first.out + first.err + second.out + second.err


def test_enrolling_needs_a_file_to_put_the_key_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agent", "enroll"]) == 2
    assert "signing_key_file" in capsys.readouterr().err


def test_an_agent_without_a_key_does_not_load_the_library() -> None:
    code = (
        "import sys, agent.command, agent.kafka, agent.run, agent.outbox; "
        "sys.exit('nacl' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
