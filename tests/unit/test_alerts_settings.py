"""What a deployment may say, and what stops the start."""

import argparse
from pathlib import Path

import pytest

from alerts.settings import AlertSettings, Receiver
from telemetry import settings
from telemetry.errors import ConfigError


def load(tmp_path: Path, text: str = "", **environment: str) -> AlertSettings:
    path = tmp_path / "alerts.toml"
    path.write_text(text)
    parser = argparse.ArgumentParser()
    settings.add_flags(parser, AlertSettings)
    return settings.load(AlertSettings, parser.parse_args(["--config", str(path)]), environment)


def test_without_receivers_the_log_is_one(tmp_path: Path) -> None:
    assert load(tmp_path).all_receivers() == {"log": Receiver(kind="log")}


def test_receivers_stand_in_the_file(tmp_path: Path) -> None:
    record = load(
        tmp_path,
        '[receivers.pager]\nurl = "https://p.example.com/x"\nseverity_min = "critical"\n'
        'fallback = "chat"\n[receivers.chat]\nkind = "log"\n',
    )
    assert set(record.all_receivers()) == {"pager", "chat"}
    assert record.receivers["pager"].severity_min == "critical"


def test_a_webhook_needs_no_file(tmp_path: Path) -> None:
    record = load(tmp_path, FLEETGAUGE_WEBHOOK_URL="https://p.example.com/x")
    assert record.all_receivers()["webhook"].url == "https://p.example.com/x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[receivers.pager]\nkind = "webhook"\n', "receivers.pager: url must be given"),
        ('[receivers.pager]\nkind = "pigeon"\n', "pigeon"),
        ('[receivers.pager]\nurl = "https://p.example.com/"\nfallback = "x"\n', "no receiver x"),
        ('[receivers.pager]\nurl = "https://p.example.com/"\nsecret = "s"\n', "secret"),
        ('[receivers.pager]\nurl = "https://p.example.com/"\nsecret_file = "/no"\n', "/no"),
        ('[receivers.pager]\nurl = "gopher://x"\n', "url"),
        ('webhook_allow_networks = "10.0.0.0/99"\n', "10.0.0.0/99"),
        ('webhook_ports = "https"\n', "webhook_ports"),
        ("lease_s = 1\n", "lease_s"),
        ("no_such = 1\n", "no_such"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, text)
