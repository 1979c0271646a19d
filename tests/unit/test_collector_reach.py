"""How far what is stored reaches, against a dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.reach import Reach

STEPS = st.lists(st.dictionaries(st.integers(1, 40), st.integers(0, 10**15)), max_size=10)


def column(numbers: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return numbers as a column."""
    return np.array(numbers, dtype=np.int64)


@given(STEPS)
def test_it_knows_what_was_set_last_and_nothing_of_others(steps: list[dict[int, int]]) -> None:
    """Hosts come in any order from batch to batch."""
    reach, expected = Reach(), dict[int, int]()
    for step in steps:
        hosts = sorted(step)
        reach.set(column(hosts), column([step[host] for host in hosts]))
        expected |= step
        everybody = list(range(42))
        newest = [expected.get(host, 0) for host in everybody]
        assert reach.of(column(everybody)).tolist() == newest
        assert reach.unknown(column(everybody)).tolist() == [
            host for host in everybody if host not in expected
        ]
