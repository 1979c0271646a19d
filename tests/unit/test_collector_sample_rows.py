"""The order of sample rows: as they came, or accelerator by accelerator for a columnstore."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.copy_rows import EPOCH_OFFSET_US, Column
from collector.sample_columns import SampleColumns, Senders
from collector.sample_rows import sample_rows
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group

MESSAGES, TICKS, ACCELERATORS = 5, 4, 3


def columns_of(times_us: np.ndarray, gpu_ids: np.ndarray) -> SampleColumns:
    """Messages whose every value is its own place, and every third power reading is missing."""
    cells = np.arange(MESSAGES * ACCELERATORS * TICKS).reshape(MESSAGES, ACCELERATORS, TICKS)
    whose = np.arange(MESSAGES, dtype=np.int32)
    wide = whose.astype(np.int64)
    return SampleColumns(
        Group.FAST,
        Senders(whose, whose, whose, gpu_ids, wide, wide),
        times_us,
        {"power_milliwatts": cells.astype(np.int32)},
        {"power_milliwatts": cells % 3 == 0},
        0,
    )


def rows_of(columns: list[Column]) -> list[tuple[int, int, int, bool]]:
    power = 2 + [m.name for m in CATALOGUE.group(Group.FAST)].index("power_milliwatts")
    time, gpu, watts = columns[0].values, columns[1].values, columns[power]
    assert time is not None
    assert gpu is not None
    assert watts.values is not None
    assert watts.missing is not None
    values = zip(
        gpu.tolist(), time.tolist(), watts.values.tolist(), watts.missing.tolist(), strict=True
    )
    return [(g, t + EPOCH_OFFSET_US, v, m) for g, t, v, m in values]


@given(
    st.lists(st.integers(0, 50), min_size=MESSAGES * TICKS, max_size=MESSAGES * TICKS),
    st.permutations(range(ACCELERATORS)),
    st.lists(st.integers(0, 2), min_size=MESSAGES, max_size=MESSAGES),
)
def test_rows_for_a_columnstore_are_in_its_order_whatever_the_clocks_were(
    times: list[int], seats: list[int], hosts: list[int]
) -> None:
    times_us = np.array(times, dtype=np.int64).reshape(MESSAGES, TICKS)
    gpu_ids = np.array([[host * 10 + seat for seat in seats] for host in hosts], dtype=np.int32)
    columns = columns_of(times_us, gpu_ids)
    came = rows_of(sample_rows(columns))
    ordered = rows_of(sample_rows(columns, by_accelerator=True))
    assert sorted(came) == sorted(ordered)
    keys = [(gpu, time) for gpu, time, _, _ in ordered]
    assert keys == sorted(keys)


def test_rows_stay_as_they_came_without_a_columnstore() -> None:
    times_us = np.arange(MESSAGES * TICKS, dtype=np.int64).reshape(MESSAGES, TICKS)
    gpu_ids = np.arange(MESSAGES * ACCELERATORS, dtype=np.int32)[::-1].reshape(MESSAGES, -1).copy()
    came = rows_of(sample_rows(columns_of(times_us, gpu_ids)))
    assert [value for _, _, value, _ in came] == list(range(MESSAGES * ACCELERATORS * TICKS))
