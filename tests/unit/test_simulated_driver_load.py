import csv
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.nvml import profile
from simulator.nvml.load import CLUSTER_POWER_WATTS, ClusterLoad, ConstantLoad, Load, at_rank
from simulator.nvml.physics import Physics

QUANTILES = Path(__file__).parents[2] / "../shared/data/acme/quantiles.csv"


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30).map(sorted), st.floats(-1, 2))
def test_quantile_function_stays_between_its_ends(points: list[float], rank: float) -> None:
    assert points[0] <= at_rank(rank, tuple(points)) <= points[-1] * (1 + 1e-12)


def test_quantile_function_goes_through_its_points() -> None:
    assert [at_rank(k / 20, CLUSTER_POWER_WATTS) for k in range(21)] == pytest.approx(
        list(CLUSTER_POWER_WATTS)
    )


def test_constant_load_can_be_set_for_one_gpu() -> None:
    source, busy = ConstantLoad(), Load(1, 1, 1, 1)
    source.of_gpu[3] = busy
    assert source.load(3, 0.0) == busy
    assert source.load(2, 0.0).activity == 0


def test_jobs_keep_a_host_at_one_level_until_they_end() -> None:
    source = ClusterLoad(seed=4, job_mean_s=1e9)
    intensities = [source.load(gpu, 10.0 * tick).intensity for tick in range(50) for gpu in (0, 7)]
    assert max(intensities) - min(intensities) < 0.4


@pytest.mark.skipif(not QUANTILES.exists(), reason="recorded data ../shared/data is not there")
def test_simulated_a100_fleet_has_the_quantiles_of_the_real_cluster() -> None:
    with QUANTILES.open() as lines:
        real = {float(row["percentile"]): row for row in csv.DictReader(lines)}
    a100, chosen = profile.load("a100"), random.Random(5)
    seen: list[tuple[float, float, float, float]] = []
    for host in range(500):
        physics, source = Physics(a100, host), ClusterLoad(host, job_mean_s=600)
        ends_s = chosen.uniform(1000, 4000)
        for tick in range(12):
            physics.advance(60, source.load(0, ends_s + 60 * tick))
        load = physics.load.activity * 100
        seen.append((physics.power_watts, physics.core_celsius, physics.memory_celsius, load))
    columns = [sorted(values) for values in zip(*seen, strict=True)]
    names = ("power_w", "core_temp_c", "memory_temp_c", "gpu_util_percent")
    # The shares of the real cluster's jobs are not known, so its joint distribution is not either.
    tolerances = (50.0, 8.0, 6.0, 20.0)
    for percentile in (5, 10, 25, 50, 75, 90, 95):
        for column, name, tolerance in zip(columns, names, tolerances, strict=True):
            simulated = column[len(column) * percentile // 100]
            measured = float(real[percentile][f"kalos_{name}"])
            assert simulated == pytest.approx(measured, abs=tolerance), (percentile, name)
