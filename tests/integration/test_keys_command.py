"""`fleetgauge keys` as an operator uses it, on a real database."""

import io
import json
from pathlib import Path

import pytest

from fleetgauge.__main__ import main
from telemetry.signing import SigningKey, make_request


def request(number: int) -> str:
    key = SigningKey(bytes([number]) * 32)
    return make_request(key, tenant="lab", facility="east", host=f"node-{number}", now_us=10**15)


@pytest.fixture
def keys(
    collector_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> "KeysCommand":
    monkeypatch.setenv("FLEETGAUGE_DATABASE_URL", collector_url)
    return KeysCommand(capsys)


class KeysCommand:
    """Runs the command and returns what it says."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        assert main(["keys", *words]) == code
        captured = self.capsys.readouterr()
        return captured.out + captured.err

    def states(self) -> dict[str, str]:
        rows = map(json.loads, self("list", "--json").splitlines())
        return {row["host"]: row["state"] for row in rows}


def test_requests_are_taken_in_approved_listed_and_revoked(
    keys: KeysCommand, tmp_path: Path
) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(request(number) for number in (1, 2, 3)) + "\n\n")
    assert keys("request", str(file), "--actor", "ann").count("waits for approval") == 3
    assert keys("request", str(file)).count("was there already") == 3
    assert keys.states() == dict.fromkeys(("node-1", "node-2", "node-3"), "requested")
    fingerprint = keys("list").splitlines()[0].split()[0]
    assert "approved" in keys("approve", fingerprint, "--actor", "bob", "--valid-days", "30")
    assert "approved" in keys("approve", fingerprint, code=0)
    assert keys("approve", "--facility", "east", "--tenant", "lab").count("approved") == 2
    assert keys("approve", "--facility", "east", "--tenant", "lab") == "nothing waits there\n"
    assert "revoked" in keys("revoke", fingerprint[: len("SHA256:") + 12], "--actor", "cyd")
    assert keys.states() == {"node-1": "revoked", "node-2": "approved", "node-3": "approved"}
    history = keys("history")
    for words in ("ann", "bob", "cyd", "requested", "approved", "revoked", "lab/east/node-1"):
        assert words in history


def test_a_request_from_standard_input_that_is_not_sound_is_named_and_the_rest_is_taken(
    keys: KeysCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = request(2).replace("node-2", "node-9")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{request(1)}\n{bad}\nrubbish\n{request(3)}\n"))
    said = keys("request", "-", code=1)
    assert "-:2: the proof does not fit" in said
    assert "-:3: " in said
    assert keys.states() == {"node-1": "requested", "node-3": "requested"}


@pytest.mark.parametrize(
    "words",
    [
        ("approve",),
        ("approve", "SHA256:AAAAAAAAAAAA"),
        ("approve", "SHA256:AA"),
        ("approve", "SHA256:not base64!"),
        ("approve", "SHA256:AAAAAAAAAAAA", "--facility", "east"),
        ("revoke",),
        ("request",),
        ("request", "/no/such/file"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(
    keys: KeysCommand, words: tuple[str, ...]
) -> None:
    assert keys(*words, code=2)
