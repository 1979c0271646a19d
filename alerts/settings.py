"""What a deployment may say about the alerts program.

Owns names, bounds and defaults. Receivers stand in the file, one table each; a single webhook can
be given without a file. Secrets are files, never values: a value would show in a process list.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from telemetry.settings import LogSettings
from telemetry.streams import DatabaseSettings

Severity = Literal["info", "warning", "critical"]

_URL = r"^(https?://\S{1,2000})?$"


class Receiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who is told.

    Attributes:
        kind: a name of `alerts.notifiers.NOTIFIERS`.
        url: where a webhook goes.
        secret_file: file with the key that signs what is sent, and nothing else.
        severity_min: quieter incidents are not sent here.
        pages_only: send only what should wake somebody, and its end.
        fallback: the receiver that gets what this one has not taken in time.
    """

    kind: Literal["webhook", "log"] = "webhook"
    url: Annotated[str, Meta(pattern=_URL)] = ""
    secret_file: str = ""
    severity_min: Severity = "info"
    pages_only: bool = False
    fallback: str = ""


@dataclass(frozen=True, kw_only=True)
class AlertSettings(LogSettings, DatabaseSettings):
    """Everything `fleetgauge alerts` can be told."""

    rules_folder: Annotated[
        str, Meta(description="folder with further rule files; one replaces a built-in by its name")
    ] = ""
    xid_policy_file: Annotated[
        str, Meta(description="TOML file in place of the built-in Xid policy")
    ] = ""
    xid_override_file: Annotated[
        str, Meta(description="TOML file that changes single Xids or classes of the policy")
    ] = ""
    evaluate_interval_s: Annotated[
        float,
        Meta(ge=1, le=300, description="rules on fresh data are evaluated at least this often"),
    ] = 10.0
    fast_interval_s: Annotated[
        float,
        Meta(ge=0.05, le=60, description="rules on fresh data are evaluated at most this often"),
    ] = 0.5
    statement_timeout_s: Annotated[
        float, Meta(ge=0.1, le=300, description="a rule that takes longer has failed")
    ] = 10.0
    offenders_max: Annotated[
        int, Meta(ge=10, le=1_000_000, description="a rule that selects more rows has failed")
    ] = 250_000
    lease_s: Annotated[
        float,
        Meta(ge=3, le=60, description="a standby takes over when the active one is silent so long"),
    ] = 15.0
    page_interval_s: Annotated[
        float,
        Meta(ge=0, le=86_400, description="least time between pages of one group, and flap window"),
    ] = 1800.0
    update_interval_s: Annotated[
        float, Meta(ge=1, le=86_400, description="least time between quiet updates of one group")
    ] = 300.0
    reminder_interval_s: Annotated[
        float,
        Meta(ge=60, le=604_800, description="an incident that nobody acknowledged rings again"),
    ] = 14_400.0
    history_days: Annotated[
        int, Meta(ge=1, le=3650, description="resolved alerts are kept this long")
    ] = 400
    dashboard_url: Annotated[
        str, Meta(pattern=_URL, description="where people open the dashboard, for links")
    ] = ""
    webhook_url: Annotated[
        str, Meta(pattern=_URL, description="a webhook receiver without a file; empty: none")
    ] = ""
    webhook_secret_file: Annotated[
        str, Meta(description="file with the key that signs what this webhook gets")
    ] = ""
    webhook_allow_networks: Annotated[
        str,
        Meta(
            description="private networks that webhooks may reach, also by plain http and on any "
            "port, comma-separated"
        ),
    ] = ""
    webhook_ports: Annotated[
        str,
        Meta(
            pattern=r"^\d{1,5}(,\d{1,5})*$",
            description="ports that webhooks may reach elsewhere, comma-separated",
        ),
    ] = "443"
    webhook_timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="a delivery takes no longer than this, all in all")
    ] = 10.0
    retry_max_s: Annotated[
        float, Meta(ge=1, le=3600, description="longest pause between tries of one delivery")
    ] = 300.0
    give_up_after_s: Annotated[
        float, Meta(ge=60, le=604_800, description="a notice older than this is no longer sent")
    ] = 86_400.0
    fallback_after_s: Annotated[
        float, Meta(ge=1, le=86_400, description="an undelivered notice goes to the fallback then")
    ] = 300.0
    heartbeat_url: Annotated[
        str,
        Meta(pattern=_URL, description="dead-man switch to ping while all is well"),
    ] = ""
    heartbeat_interval_s: Annotated[
        float, Meta(ge=1, le=3600, description="time between pings of the dead-man switch")
    ] = 60.0
    receivers: Annotated[
        dict[str, Receiver], Meta(description="who is told: a table each, in the file only")
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what spans several fields, and read what must be readable."""
        self.allowed_networks()
        for name, receiver in self.all_receivers().items():
            if receiver.kind == "webhook" and not receiver.url:
                raise ValueError(f"receivers.{name}: url must be given")
            if receiver.fallback and receiver.fallback not in self.receivers:
                raise ValueError(f"receivers.{name}: there is no receiver {receiver.fallback}")
            if receiver.secret_file and not Path(receiver.secret_file).is_file():
                raise ValueError(f"receivers.{name}: {receiver.secret_file} is not a file")

    def all_receivers(self) -> dict[str, Receiver]:
        """Return every receiver by name; without any, the log is one."""
        receivers = dict(self.receivers)
        if self.webhook_url:
            receivers["webhook"] = Receiver(
                url=self.webhook_url, secret_file=self.webhook_secret_file
            )
        return receivers or {"log": Receiver(kind="log")}

    def allowed_networks(self) -> list[IPv4Network | IPv6Network]:
        """Return the networks that webhooks may reach although they are private."""
        words = (word.strip() for word in self.webhook_allow_networks.split(","))
        return [ip_network(word) for word in words if word]

    def allowed_ports(self) -> frozenset[int]:
        """Return the ports that webhooks may reach on public addresses."""
        return frozenset(int(word) for word in self.webhook_ports.split(","))
