"""Queue sources: what waits for the accelerators, behind one contract.

Owns the contract and the table of sources. Adding a source is a module here and a line in
`SOURCES`; one that speaks Prometheus' text format is a TOML file in `mappings/` and no code.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from telemetry.errors import ConfigError
from telemetry.records import QueueSnapshot

SOURCES = {
    "prometheus": "agent.queues.prometheus:PrometheusSource",
}


class QueueSource(Protocol):
    """One place that knows what waits."""

    def read(self, time_us: int, now_s: float) -> Sequence[QueueSnapshot]:
        """Return one snapshot a queue, or raise.

        Args:
            time_us: wall time to stamp them with.
            now_s: monotonic time, for rates.

        Raises:
            ReadError: it did not answer, or what it said makes no sense.
        """


class MakesSources(Protocol):
    """The class of a source."""

    def from_setting(self, mapping: str, url: str) -> QueueSource:
        """Return a source; ConfigError when mapping or URL are no good."""


def load_sources(endpoints: str) -> list[QueueSource]:
    """Return the sources of the setting `queue_endpoints`: `MAPPING=URL`, comma-separated.

    Raises:
        ConfigError: with every problem.
    """
    sources: list[QueueSource] = []
    problems: list[str] = []
    for endpoint in filter(None, endpoints.split(",")):
        mapping, _, url = endpoint.partition("=")
        try:
            sources.append(_source_class("prometheus").from_setting(mapping, url))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return sources


def _source_class(name: str) -> MakesSources:
    module, _, attribute = SOURCES[name].partition(":")
    return cast("MakesSources", getattr(import_module(module), attribute))
