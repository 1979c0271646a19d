"""`compose.yaml`: nothing reachable from outside, no default secrets, everything watched."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from dashboard.settings import DashboardSettings
from fleetgauge.__main__ import SUBCOMMANDS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text()
STACK: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
SECRET = re.compile("PASSWORD|SECRET|TOKEN", re.IGNORECASE)


def variables() -> Iterator[tuple[str, str, str]]:
    for service, entry in SERVICES.items():
        for name, value in entry.get("environment", {}).items():
            yield service, name, str(value)


def test_the_whole_stack_is_there() -> None:
    programs = {"migrate", "collector", "alerts", "dashboard", "facility"}
    assert set(SERVICES) == {"kafka", "database", "gate", *programs}
    assert all(SERVICES[name]["command"][0] in SUBCOMMANDS for name in programs)


@pytest.mark.parametrize("service", SERVICES)
def test_published_ports_are_bound_to_loopback(service: str) -> None:
    for port in SERVICES[service].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


def test_t20_the_dashboard_is_reached_through_the_gate_alone(tmp_path: Path) -> None:
    """Its port is not published, and only the gate's address and secret are believed."""
    assert "ports" not in SERVICES["dashboard"]
    given = tomllib.loads((ROOT / "deploy" / "dashboard.toml").read_text())
    assert given["access"] == "proxy"
    assert given["proxy_peers"] == SERVICES["gate"]["networks"]["default"]["ipv4_address"]
    assert (
        given["proxy_secret_file"]
        == f"/run/secrets/{SERVICES['dashboard']['secrets'][0]['target']}"
    )
    secret = tmp_path / "secret"
    secret.write_text("x" * 48)
    secret.chmod(0o400)
    given["proxy_secret_file"] = str(secret)
    settings = msgspec.convert(given, DashboardSettings)
    assert settings.access_rules[0].role == "admin"
    conf = STACK["configs"]["gate"]["content"]
    for name in ("X-Forwarded-User", "X-Forwarded-Groups", "X-Fleetgauge-Secret"):
        assert conf.count(f"proxy_set_header {name} ") == 1


def test_secrets_come_from_the_environment_and_have_no_default() -> None:
    secrets = [(name, value) for _, name, value in variables() if SECRET.search(name)]
    assert secrets
    for name, value in secrets:
        assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value), name


def test_nothing_runs_with_more_rights_than_it_needs() -> None:
    for service, entry in SERVICES.items():
        assert not entry.get("privileged")
        assert entry.get("network_mode") is None
        assert "no-new-privileges:true" in entry["security_opt"], service
        assert not any("docker.sock" in str(volume) for volume in entry.get("volumes", []))
        if entry["image"].startswith("fleetgauge"):
            assert entry["read_only"]
            assert entry["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_watched(service: str) -> None:
    assert SERVICES[service]["healthcheck"]
    assert SERVICES[service]["restart"] in ("unless-stopped", "on-failure")


def test_images_are_pinned_to_a_version() -> None:
    for service, entry in SERVICES.items():
        if not entry["image"].startswith("fleetgauge"):
            assert re.search(r":\d+\.\d+\.\d+", entry["image"]), service


def test_data_outlives_its_containers() -> None:
    kept = {name: SERVICES[name]["volumes"][0].split(":") for name in ("kafka", "database")}
    assert set(STACK["volumes"]) == {volume for volume, _ in kept.values()}
    assert kept["kafka"][1] == SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]


def test_the_schema_and_topics_are_made_before_anything_uses_them() -> None:
    for name in ("collector", "alerts", "dashboard", "facility"):
        waits_for = SERVICES[name]["depends_on"]["migrate"]["condition"]
        assert waits_for == "service_completed_successfully"
    for name in ("kafka", "database"):
        assert SERVICES["migrate"]["depends_on"][name]["condition"] == "service_healthy"


def test_the_broker_makes_no_topics_by_itself() -> None:
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_image_does_not_run_as_root_and_checks_hashes() -> None:
    lines = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    assert any(line.startswith("USER ") and line != "USER root" for line in lines)
    assert any("--require-hashes" in line for line in lines)
    packages = {line.split()[1] for line in lines if re.match(r"COPY (\w+) \1$", line)}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{package}" for package in packages} <= set(ignored)


def test_make_env_writes_a_new_secret_once(tmp_path: Path) -> None:
    script = tmp_path / "deploy" / "make-env"
    script.parent.mkdir()
    script.write_bytes((ROOT / "deploy" / "make-env").read_bytes())
    script.chmod(0o755)
    subprocess.run([script], check=True, capture_output=True, timeout=20)
    first = (tmp_path / ".env").read_text()
    names = [line.partition("=")[0] for line in first.splitlines()]
    assert names == ["POSTGRES_PASSWORD", "DASHBOARD_PASSWORD", "GATE_SECRET"]
    values = [line.partition("=")[2] for line in first.splitlines()]
    assert len(set(values)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in values)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    subprocess.run([script], check=True, capture_output=True, timeout=20)
    assert (tmp_path / ".env").read_text() == first


def test_env_is_not_committed() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
