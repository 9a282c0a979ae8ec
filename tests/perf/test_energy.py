"""Energy from a made-up library: no machine of these tests has a GPU."""

import itertools
import sys
from types import SimpleNamespace

import jax
import pytest

from mtsccd_jax.perf import energy
from mtsccd_jax.perf.energy import watch


class NVMLError(Exception):
    """As pynvml's."""


def unknown(handle, kind=None):
    raise NVMLError


@pytest.fixture
def nvml(monkeypatch):
    """Install a library whose energy counter rises by 50 J a reading; `asked` lists the handles and the shutdown."""
    asked, millijoules = [], itertools.count(1_000_000, 50_000)

    def handle(index):
        asked.append(index)
        return index

    library = SimpleNamespace(
        NVMLError=NVMLError,
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: asked.append("shutdown"),
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetHandleByUUID=handle,
        nvmlDeviceGetPowerUsage=lambda handle: 600_000,
        nvmlDeviceGetEnforcedPowerLimit=lambda handle: 700_000,
        nvmlDeviceGetClockInfo=lambda handle, clock: {1: 1980, 2: 3201}[clock],
        nvmlDeviceGetTemperature=unknown,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 0x1 | 0x4,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(millijoules),
        asked=asked,
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(energy, "INTERVAL_S", 0.001)
    return library


GPU = SimpleNamespace(platform="gpu", local_hardware_id=1, id=1)


def test_the_counter_of_the_gpu_is_believed(nvml):
    with watch(GPU) as meter:
        assert meter.energy is None
    found = meter.energy
    assert found.joules == 50.0
    assert found.watts == pytest.approx(50.0 / found.seconds)
    assert (found.limit_watts, found.sm_mhz, found.memory_mhz) == (700.0, 1980.0, 3201.0)
    assert found.celsius is None, "what a GPU does not say"
    assert found.throttled == 0x4, "an idle GPU is not throttled"
    assert nvml.asked == [1, "shutdown"]


def test_without_a_counter_power_times_time(nvml):
    nvml.nvmlDeviceGetTotalEnergyConsumption = unknown
    with watch(GPU) as meter:
        pass
    assert meter.energy.watts == 600.0
    assert meter.energy.joules == pytest.approx(600.0 * meter.energy.seconds)


@pytest.mark.parametrize(("visible", "asked"), [("3,5", 5), ("GPU-a,GPU-b", "GPU-b"), ("", 1)])
def test_the_gpu_is_the_one_that_jax_sees(nvml, monkeypatch, visible, asked):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with watch(GPU):
        pass
    assert nvml.asked[0] == asked


def test_an_error_inside_is_not_swallowed(nvml):
    with pytest.raises(RuntimeError, match="inside"), watch(GPU):
        raise RuntimeError("inside")
    assert nvml.asked[-1] == "shutdown"


def test_without_a_gpu_or_its_library_there_is_no_energy(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    for device in (jax.devices()[0], GPU):
        with watch(device) as meter:
            pass
        assert meter.energy is None
