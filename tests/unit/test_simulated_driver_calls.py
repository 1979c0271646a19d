import ctypes
import threading

import pynvml
import pytest

from simulator.nvml import library
from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.install import binding_for, installed
from simulator.nvml.load import IDLE
from tests.fix_accelerators import MakeHost, ManualClock

FIELDS = [82, 83, 185, 186, 94, 230]


@pytest.fixture
def started(gpu_host: SimulatedDriver) -> SimulatedDriver:
    pynvml.nvmlInit()
    return gpu_host


def handle(slot: int = 0) -> object:
    return pynvml.nvmlDeviceGetHandleByIndex(slot)


def raises(code: int) -> "pytest.RaisesExc[BaseException]":
    return pytest.raises(pynvml.NVMLError, check=lambda error: error.value == code)


def test_calls_before_start_and_after_the_last_shutdown_are_refused(
    gpu_host: SimulatedDriver,
) -> None:
    with raises(pynvml.NVML_ERROR_UNINITIALIZED):
        pynvml.nvmlDeviceGetCount()
    pynvml.nvmlInit()
    pynvml.nvmlInit()
    pynvml.nvmlShutdown()
    assert pynvml.nvmlDeviceGetCount() == 8
    pynvml.nvmlShutdown()
    with raises(pynvml.NVML_ERROR_UNINITIALIZED):
        pynvml.nvmlDeviceGetCount()


def test_a_function_that_the_driver_does_not_export_is_not_found(started: SimulatedDriver) -> None:
    with raises(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND):
        pynvml._nvmlGetFunctionPointer("nvmlSystemGetCPER_v1")


def test_an_installed_driver_leaves_nothing_behind(make_gpu_host: MakeHost) -> None:
    before = pynvml.nvmlLib
    with installed(make_gpu_host()):
        pynvml.nvmlInit()
    assert pynvml.nvmlLib is before
    with pytest.raises(pynvml.NVMLError):
        pynvml.nvmlDeviceGetCount()


def test_two_hosts_in_one_process_do_not_mix(make_gpu_host: MakeHost) -> None:
    small, large = binding_for(make_gpu_host(gpus=2)), binding_for(make_gpu_host("b200", gpus=4))
    small.nvmlInit()
    large.nvmlInit()
    assert (small.nvmlDeviceGetCount(), large.nvmlDeviceGetCount()) == (2, 4)
    assert large.nvmlDeviceGetName(large.nvmlDeviceGetHandleByIndex(0)) == "NVIDIA B200"
    assert small.NVMLError is not large.NVMLError


def test_a_buffer_that_is_too_small_is_refused(started: SimulatedDriver) -> None:
    function = pynvml._nvmlGetFunctionPointer("nvmlDeviceGetName")
    buffer = ctypes.create_string_buffer(5)
    code = function(handle(), buffer, ctypes.c_uint(5))
    assert code == pynvml.NVML_ERROR_INSUFFICIENT_SIZE


def test_a_structure_of_another_version_is_refused(started: SimulatedDriver) -> None:
    reading = pynvml.c_nvmlTemperature_v1_t()
    reading.version = 0x2000010
    function = pynvml._nvmlGetFunctionPointer("nvmlDeviceGetTemperatureV")
    code = function(handle(), ctypes.byref(reading))
    assert code == pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH


def test_a_structure_passed_by_value_is_a_mistake_that_shows(started: SimulatedDriver) -> None:
    with pytest.raises(TypeError, match="by value"):
        pynvml.nvmlDeviceGetGpuFabricInfoV(handle(), pynvml.c_nvmlGpuFabricInfo_v2_t())


def test_a_handle_that_was_never_given_is_refused(started: SimulatedDriver) -> None:
    foreign = ctypes.cast(0x1234, pynvml.c_nvmlDevice_t)
    for strange in (pynvml.c_nvmlDevice_t(), foreign):
        with raises(pynvml.NVML_ERROR_INVALID_ARGUMENT):
            pynvml.nvmlDeviceGetPowerUsage(strange)


def test_error_texts_are_those_of_the_driver(started: SimulatedDriver) -> None:
    assert pynvml.nvmlErrorString(pynvml.NVML_ERROR_GPU_IS_LOST) == "GPU is lost"
    assert pynvml.nvmlErrorString(12345) == "Unknown Error"


def test_every_call_about_a_lost_board_says_so(started: SimulatedDriver) -> None:
    lost = handle(3)
    started.lose(3)
    about_boards = {*library.DEVICE_CALLS, *library.BOARD_CALLS} - {"nvmlDeviceGetFieldValues"}
    for name in about_boards:
        function = pynvml._nvmlGetFunctionPointer(name)
        assert function(lost) == pynvml.NVML_ERROR_GPU_IS_LOST, name
    with raises(pynvml.NVML_ERROR_GPU_IS_LOST):
        handle(3)
    assert pynvml.nvmlDeviceGetCount() == 8
    assert pynvml.nvmlDeviceGetPowerUsage(handle(4)) > 0


def test_field_values_of_a_lost_board_mix_lost_and_stale(
    started: SimulatedDriver, manual_clock: ManualClock
) -> None:
    lost = handle(3)
    before = pynvml.nvmlDeviceGetFieldValues(lost, FIELDS)[1].value.ullVal
    started.lose(3)
    manual_clock.pass_s(60)
    entries = pynvml.nvmlDeviceGetFieldValues(lost, FIELDS)
    codes = {entry.nvmlReturn for entry in entries}
    assert codes == {0, pynvml.NVML_ERROR_GPU_IS_LOST}
    assert entries[1].value.ullVal == before


def test_a_board_that_comes_back_answers_with_its_old_identity(started: SimulatedDriver) -> None:
    uuid = pynvml.nvmlDeviceGetUUID(handle(3))
    started.raise_double_bit_error(3)
    started.lose(3)
    started.bring_back(3)
    assert pynvml.nvmlDeviceGetUUID(handle(3)) == uuid
    assert pynvml.nvmlDeviceGetRemappedRows(handle(3)) == (0, 1, 0, 0)
    errors = pynvml.nvmlDeviceGetTotalEccErrors
    assert (errors(handle(3), 1, 0), errors(handle(3), 1, 1)) == (0, 1)


def test_a_swapped_board_has_another_identity(started: SimulatedDriver) -> None:
    before = pynvml.nvmlDeviceGetUUID(handle(3)), pynvml.nvmlDeviceGetSerial(handle(3))
    started.swap(3)
    assert pynvml.nvmlDeviceGetUUID(handle(3)) != before[0]
    assert pynvml.nvmlDeviceGetSerial(handle(3)) != before[1]
    with raises(pynvml.NVML_ERROR_NOT_FOUND):
        pynvml.nvmlDeviceGetHandleByUUID(before[0])


def test_a_mismatched_driver_refuses_everything(started: SimulatedDriver) -> None:
    known = handle()
    started.refuse_all(18)
    for call in (pynvml.nvmlInit, pynvml.nvmlDeviceGetCount, handle):
        with raises(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH):
            call()
    with raises(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH):
        pynvml.nvmlDeviceGetPowerUsage(known)


def test_unsupported_failing_and_garbage_touch_one_call_of_one_board(
    started: SimulatedDriver,
) -> None:
    started.set_unsupported(0, "nvmlDeviceGetPowerUsage")
    started.set_failing(1, "nvmlDeviceGetPowerUsage", 999)
    started.set_garbage(2, "nvmlDeviceGetPowerUsage", 0xFFFFFFFF)
    started.set_garbage(2, "nvmlDeviceGetUtilizationRates", 255)
    with raises(pynvml.NVML_ERROR_NOT_SUPPORTED):
        pynvml.nvmlDeviceGetPowerUsage(handle(0))
    with raises(pynvml.NVML_ERROR_UNKNOWN):
        pynvml.nvmlDeviceGetPowerUsage(handle(1))
    assert pynvml.nvmlDeviceGetPowerUsage(handle(2)) == 0xFFFFFFFF
    rates = pynvml.nvmlDeviceGetUtilizationRates(handle(2))
    assert (rates.gpu, rates.memory) == (255, 255)
    assert pynvml.nvmlDeviceGetPowerUsage(handle(3)) < 700_000
    assert pynvml.nvmlDeviceGetEnforcedPowerLimit(handle(0)) == 700_000


def test_fields_have_a_verdict_each(started: SimulatedDriver) -> None:
    started.set_unsupported(0, "field 82")
    started.set_failing(0, "field 83", 999)
    started.set_garbage(0, "field 185", 7)
    entries = pynvml.nvmlDeviceGetFieldValues(handle(), [82, 83, 185, 186, 9999, (185, 1)])
    assert [entry.nvmlReturn for entry in entries] == [3, 999, 0, 0, 3, 3]
    assert entries[2].value.uiVal == 7
    assert all(entry.latencyUsec > 0 for entry in entries)


def test_a_hung_board_blocks_its_own_calls_until_released(started: SimulatedDriver) -> None:
    hung, done = handle(2), threading.Event()
    started.hang(2)

    def ask() -> None:
        pynvml.nvmlDeviceGetPowerUsage(hung)
        done.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    assert pynvml.nvmlDeviceGetPowerUsage(handle(3)) > 0
    assert not done.wait(0.05)
    started.release()
    assert done.wait(10)


def test_idle_boards_have_no_process_and_busy_ones_have(make_gpu_host: MakeHost) -> None:
    with installed(make_gpu_host(load=IDLE)):
        pynvml.nvmlInit()
        assert pynvml.nvmlDeviceGetComputeRunningProcesses(handle()) == []
        with raises(pynvml.NVML_ERROR_NOT_FOUND):
            pynvml.nvmlDeviceGetProcessUtilization(handle(), 0)
    with installed(make_gpu_host()):
        pynvml.nvmlInit()
        [process] = pynvml.nvmlDeviceGetComputeRunningProcesses(handle())
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle(), pynvml.nvmlMemory_v2)
        assert process.usedGpuMemory == memory.used
        [sample] = pynvml.nvmlDeviceGetProcessUtilization(handle(), 0)
        assert (sample.pid, sample.smUtil) == (process.pid, 99)
        assert pynvml.nvmlSystemGetProcessName(process.pid) == "python3"


def test_links_that_are_down_are_told_apart_from_links_that_are_not_there(
    started: SimulatedDriver,
) -> None:
    started.set_nvlink(0, 5, up=False)
    states = [pynvml.nvmlDeviceGetNvLinkState(handle(), link) for link in range(18)]
    assert states == [1] * 5 + [0] + [1] * 12
    with raises(pynvml.NVML_ERROR_NOT_SUPPORTED):
        pynvml.nvmlDeviceGetNvLinkState(handle(), 18)


class TestGpm:
    def ask(self, *metric_ids: int, apart_s: float, clock: ManualClock) -> list[tuple[int, float]]:
        earlier, later = pynvml.nvmlGpmSampleAlloc(), pynvml.nvmlGpmSampleAlloc()
        pynvml.nvmlGpmSampleGet(handle(), earlier)
        clock.pass_s(apart_s)
        pynvml.nvmlGpmSampleGet(handle(), later)
        request = pynvml.c_nvmlGpmMetricsGet_t()
        request.version, request.numMetrics = 1, len(metric_ids)
        request.sample1, request.sample2 = earlier, later
        for position, metric_id in enumerate(metric_ids):
            request.metrics[position].metricId = metric_id
        pynvml.nvmlGpmMetricsGet(request)
        pynvml.nvmlGpmSampleFree(earlier)
        pynvml.nvmlGpmSampleFree(later)
        entries = [request.metrics[position] for position in range(len(metric_ids))]
        return [(entry.nvmlReturn, entry.value) for entry in entries]

    def test_rates_follow_the_load(
        self, started: SimulatedDriver, manual_clock: ManualClock
    ) -> None:
        dram, nvlink = self.ask(10, 60, apart_s=1, clock=manual_clock)
        assert dram == pytest.approx((0, 40))
        assert nvlink == pytest.approx((0, 0.3 * 18 * 26562e6 / 2**20))

    def test_samples_too_near_each_other_give_no_data(
        self, started: SimulatedDriver, manual_clock: ManualClock
    ) -> None:
        [(code, _)] = self.ask(2, apart_s=0.05, clock=manual_clock)
        assert code == pynvml.NVML_ERROR_NO_DATA

    def test_a_metric_that_is_not_there_is_not_supported(
        self, started: SimulatedDriver, manual_clock: ManualClock
    ) -> None:
        [(code, _)] = self.ask(470, apart_s=1, clock=manual_clock)
        assert code == pynvml.NVML_ERROR_NOT_SUPPORTED

    def test_a_freed_sample_is_gone(self, started: SimulatedDriver) -> None:
        sample = pynvml.nvmlGpmSampleAlloc()
        pynvml.nvmlGpmSampleFree(sample)
        with raises(pynvml.NVML_ERROR_INVALID_ARGUMENT):
            pynvml.nvmlGpmSampleFree(sample)
        assert not started.gpm_samples
