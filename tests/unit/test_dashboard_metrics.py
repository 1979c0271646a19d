"""Every metric of one accelerator, in words."""

import json

import numpy as np

from dashboard import markup
from dashboard.pages import metrics
from dashboard.view import Window
from telemetry.catalogue import CATALOGUE

WINDOW = Window(start_s=1_700_000_000, end_s=1_700_000_030, step_s=10)


def told(**values: list[float]) -> str:
    grid = {metric.name: np.full(3, np.nan) for metric in CATALOGUE.metrics}
    grid |= {name: np.array(own) for name, own in values.items()}
    return json.dumps(
        json.loads(markup.encode({"children": metrics.every([(WINDOW, grid)], None)}))
    )


def test_time_that_was_counted_in_nanoseconds_is_told_as_time() -> None:
    shown = told(throttled_power_nanoseconds=[0.4e9, 3_983e9, 3_999e9]).replace("\\u202f", " ")
    assert '"1 h 6 m"' in shown
    assert '"0.4 s to 1 h 6 m"' in shown


def test_other_metrics_are_told_in_the_unit_of_the_catalogue() -> None:
    shown = told(power_milliwatts=[500.0, 501.0, 502.0])
    assert '"502 W"' in shown
    assert '"500 to 502"' in shown
