"""Whatever numbers a message holds: what is stored was read and can be meant, or nothing is."""

from math import isfinite
from typing import Any, cast

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings

from collector.sample_columns import check_range
from telemetry import wire
from telemetry.catalogue import CATALOGUE
from telemetry.errors import DecodeError
from telemetry.records import QueueSnapshot
from telemetry.wire import Header

HEADER = Header(tenant="t", facility="f", host="h", boot_epoch=1, seq=1, sent_us=1)
FIGURES = [name for name in QueueSnapshot.__struct_fields__ if name.endswith(("ing", "econds"))]


@settings(deadline=None, max_examples=60)
@given(metric=st.sampled_from(CATALOGUE.group(CATALOGUE.live()[0].group)), data=st.data())
def test_f34_only_integers_within_a_metrics_range_are_values(metric: Any, data: Any) -> None:
    held = np.iinfo(f"i{metric.width_bytes}")
    edges = [held.min, held.max, metric.minimum - 1, metric.minimum, metric.maximum, -1, 0]
    possible = st.sampled_from([value for value in edges if held.min <= value <= held.max])
    values = data.draw(st.lists(possible | st.integers(held.min, held.max), min_size=1))
    unread = data.draw(
        st.none() | st.lists(st.booleans(), min_size=len(values), max_size=len(values))
    )
    column = np.array([[values]], dtype=f"i{metric.width_bytes}")
    absent = None if unread is None else np.array([[unread]])
    missing, wrong = check_range(metric, column, absent)
    gone = [False] * len(values) if missing is None else missing.reshape(-1).tolist()
    was_read = [True] * len(values) if unread is None else [not cell for cell in unread]
    fits = [metric.minimum <= value <= metric.maximum for value in values]
    assert gone == [not (read and fit) for read, fit in zip(was_read, fits, strict=True)]
    assert wrong == sum(read and not fit for read, fit in zip(was_read, fits, strict=True))


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(FIGURES),
    value=st.booleans() | st.floats() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=3)
    | st.none() | st.just([1.0]),
)  # fmt: skip
def test_f34_a_queue_figure_is_the_finite_number_that_was_sent_or_is_refused(
    name: str, value: object
) -> None:
    plain = msgspec.to_builtins(QueueSnapshot(time_us=1, source="vllm", queue="q"))
    body = msgspec.msgpack.encode([plain | {name: value}])
    head = msgspec.msgpack.encode(msgspec.to_builtins(HEADER))
    prefix = wire.PREFIX.pack(wire.MAGIC, wire.VERSION, 3, len(head), len(body))
    message = wire.decode(prefix + head + body)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and isfinite(cast("float", value))):
        with pytest.raises(DecodeError):
            wire.decode_queues(message)
        return
    (snapshot,) = wire.decode_queues(message)
    kept = getattr(snapshot, name)
    assert kept is None if value is None else kept == float(cast("float", value))
