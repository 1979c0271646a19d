"""Whether an agent may be asked for Prometheus text; what serves it is loaded only if so."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class ExpositionSettings:
    """Whether the agent may be asked."""

    prometheus_listen: Annotated[
        str,
        Meta(
            pattern=r"^$|^(\[[0-9a-fA-F:]+\]|[0-9.]*):[0-9]{1,5}$",
            description="serve Prometheus text on ADDRESS:PORT, or :PORT for loopback; "
            "empty: the agent listens on nothing",
        ),
    ] = ""
