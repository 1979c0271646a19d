"""The metric catalogue: complete, consistent, and never renumbered."""

import re

import pytest

from telemetry.catalogue import CATALOGUE
from telemetry.metrics import WIDTHS_BYTES, Group, Metric

UNIT_ENDINGS = (
    "_percent", "_permille", "_celsius", "_milliwatts", "_millijoules", "_megahertz",
    "_mebibytes", "_mebibytes_per_second", "_nanoseconds", "_count", "_flag", "_code",
    "_bitmask", "_lanes", "_generation", "_hundredths",
)  # fmt: skip
each_metric = pytest.mark.parametrize("metric", CATALOGUE.metrics, ids=lambda metric: metric.name)


@each_metric
def test_a_name_ends_in_its_unit(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
    assert metric.name.endswith(UNIT_ENDINGS)


@each_metric
def test_the_valid_range_fits_the_storage(metric: Metric) -> None:
    bits = 8 * WIDTHS_BYTES[metric.storage]
    assert -(2 ** (bits - 1)) <= metric.minimum <= metric.maximum < 2 ** (bits - 1)


@each_metric
def test_a_metric_explains_itself(metric: Metric) -> None:
    assert metric.sentence.endswith(".")
    assert metric.label
    assert metric.source


def test_there_are_at_least_28_fast_metrics() -> None:
    assert len(CATALOGUE.group(Group.FAST)) >= 28


def test_only_fast_gauges_are_rolled_up() -> None:
    assert all(metric.group is Group.FAST for metric in CATALOGUE.rollup())


def test_dcgm_names_are_not_given_twice() -> None:
    names = [metric.dcgm for metric in CATALOGUE.metrics if metric.dcgm]
    assert len(set(names)) == len(names)
