from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.accelerators.nvidia import NvidiaReader
from agent.accelerators.nvidia_identity import uuid_bytes
from agent.accelerators.nvidia_sources import FIELDS
from agent.accelerators.nvidia_verdict import Verdict, translate, verdict
from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.library import function_names
from telemetry.catalogue import CATALOGUE
from telemetry.errors import DeviceLost, PermanentError, ReadError
from telemetry.metrics import Group
from telemetry.records import ReaderStatus

FUNCTIONS = [name for name in function_names() if name.startswith("nvmlDeviceGet")]
FUNCTIONS += ["nvmlGpmSampleGet", *(f"field {n}" for f in FIELDS.values() for n in f.values())]
CODES = [*range(1, 31), 999]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(FUNCTIONS)), code=st.sampled_from(CODES))
def test_any_error_of_any_call_leaves_a_reading_of_each_board(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver, name: str, code: int
) -> None:
    nvidia_reader.open()
    nvidia_host.set_failing(1, name, code)
    try:
        check_all(nvidia_reader)
    finally:
        nvidia_host.set_failing(1, name, 0)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(FUNCTIONS)),
    value=st.sampled_from([0, 255, 0xFFFF, 0xFFFFFFFF, 2**63, 2**64 - 1]) | st.integers(0, 2**64),
)
def test_f05_any_number_from_any_call_is_a_valid_value_or_a_failure(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver, name: str, value: int
) -> None:
    nvidia_reader.open()
    nvidia_host.set_garbage(1, name, value)
    try:
        check_all(nvidia_reader)
    finally:
        nvidia_host.set_garbage(1, name, None)


def check_all(nvidia_reader: NvidiaReader) -> None:
    """Board 1 has a fault: what it tells must still be true, and board 2 must not care."""
    for group in Group:
        reading = nvidia_reader.read(1, group)
        told = [*reading.values, *reading.unsupported, *reading.failed]
        assert len(told) == len(set(told))
        assert all(CATALOGUE.by_name[name].holds(value) for name, value in reading.values.items())
        assert bool(reading.failed) == (reading.status is ReaderStatus.PARTIAL)
        assert nvidia_reader.read(2, group).status is ReaderStatus.WHOLE


@given(st.text(max_size=60))
def test_any_identity_text_gives_16_bytes_and_always_the_same(text: str) -> None:
    assert len(uuid_bytes(text)) == 16
    assert uuid_bytes(text) == uuid_bytes(text)


def test_a_uuid_keeps_its_own_bytes() -> None:
    text = "GPU-00112233-4455-6677-8899-aabbccddeeff"
    assert uuid_bytes(text).hex() == "00112233445566778899aabbccddeeff"
    assert uuid_bytes(text.replace("GPU", "MIG")) == uuid_bytes(text)


@given(st.integers(1, 2000))
def test_each_error_code_has_one_verdict_and_one_error(code: int) -> None:
    class Error(Exception):
        value = code

    expected = {Verdict.LOST: DeviceLost, Verdict.MISMATCH: PermanentError}
    assert type(translate(Error())) is expected.get(verdict(code), ReadError)
