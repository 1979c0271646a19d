"""Settings: later sources win, and every mistake is named with file, key and reason."""

import argparse
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from telemetry import settings
from telemetry.errors import ConfigError
from telemetry.streams import DatabaseSettings, KafkaSettings


@dataclass(frozen=True, kw_only=True)
class ProbeSettings(settings.LogSettings, KafkaSettings, DatabaseSettings):
    interval_s: Annotated[float, Meta(gt=0, le=60, description="seconds between probes")] = 1.0
    hosts_max: Annotated[int, Meta(ge=1)] = 8
    eager: bool = False


def load(
    *flags: str, environment: dict[str, str] | None = None, file: Path | None = None
) -> ProbeSettings:
    parser = argparse.ArgumentParser()
    settings.add_flags(parser, ProbeSettings)
    words = [*flags, *(["--config", str(file)] if file else [])]
    return settings.load(ProbeSettings, parser.parse_args(words), environment or {})


def problems(
    *flags: str, environment: dict[str, str] | None = None, file: Path | None = None
) -> str:
    with pytest.raises(ConfigError) as caught:
        load(*flags, environment=environment, file=file)
    return "\n".join(caught.value.problems)


def test_flags_win_over_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "probe.toml"
    file.write_text("interval_s = 2.0\nhosts_max = 20\nlog_level = 'debug'\n")
    made = load(
        "--interval-s",
        "4",
        environment={"FLEETGAUGE_INTERVAL_S": "3", "FLEETGAUGE_HOSTS_MAX": "30"},
        file=file,
    )
    assert (made.interval_s, made.hosts_max, made.log_level) == (4.0, 30, "debug")


def test_defaults_hold_where_nothing_is_said() -> None:
    assert load() == ProbeSettings()


def test_broker_and_database_come_from_their_documented_variables() -> None:
    made = load(
        environment={
            "FLEETGAUGE_KAFKA_BOOTSTRAP": "broker-1:9092,broker-2:9092",
            "FLEETGAUGE_DATABASE_URL": "postgresql://db/fleet",
        }
    )
    assert made.client_options()["bootstrap_servers"] == ["broker-1:9092", "broker-2:9092"]
    assert made.database_url == "postgresql://db/fleet"


def test_f12_all_problems_are_told_at_once_with_their_places(tmp_path: Path) -> None:
    file = tmp_path / "probe.toml"
    file.write_text("interval_s = 0\nhosts_maxx = 1\nhosts_max = '9'\n")
    told = problems("--log-level", "loud", environment={"FLEETGAUGE_EAGER": "maybe"}, file=file)
    assert f"{file}:interval_s: " in told
    assert f"{file}:hosts_maxx: there is no such setting" in told
    assert f"{file}:hosts_max: Expected `int`, got `str`" in told
    assert "FLEETGAUGE_EAGER:eager: " in told
    assert "--log-level:log_level: " in told


@pytest.mark.parametrize("text", ["interval_s = ", "a = 1\na = 2", "\ufeff[", "x = 1979-99-99"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.toml"
    file.write_text(text)
    assert str(file) in problems(file=file)


def test_a_file_that_is_missing_or_huge_or_not_text_is_named(tmp_path: Path) -> None:
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * (settings.FILE_BYTES_MAX + 1))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for file in (tmp_path / "absent.toml", huge, binary, tmp_path):
        assert str(file) in problems(file=file)


@pytest.mark.parametrize("bootstrap", ["", "host", "host:", "host:99999999", "a b:1", "a:1,"])
def test_a_broker_address_that_cannot_be_one_is_refused(bootstrap: str) -> None:
    assert "kafka_bootstrap" in problems("--kafka-bootstrap", bootstrap)


@given(
    st.dictionaries(st.sampled_from(["INTERVAL_S", "HOSTS_MAX", "EAGER", "LOG_LEVEL"]), st.text())
)
def test_any_environment_gives_settings_or_a_config_error(values: dict[str, str]) -> None:
    with suppress(ConfigError):
        load(environment={f"FLEETGAUGE_{key}": value for key, value in values.items()})


def test_help_teaches_each_setting_with_its_default() -> None:
    parser = argparse.ArgumentParser()
    settings.add_flags(parser, ProbeSettings)
    text = " ".join(parser.format_help().split())
    assert "--interval-s S seconds between probes [1.0]" in text
