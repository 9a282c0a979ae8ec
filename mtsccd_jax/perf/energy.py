"""Energy, power and clocks of an NVIDIA GPU during a block of code, read through NVML."""

import functools
import operator
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean, median_high
from typing import Any

import jax

# Seconds between two readings; the power values of NVML are averages over about as long.
INTERVAL_S = 0.1


@dataclass(frozen=True)
class Energy:
    """Energy and state of one GPU during a block; None where the driver does not say.

    Attributes:
        joules: Energy by the GPU's own counter, or else power times time.
        celsius: Temperature, the highest reading.
        throttled: Reasons for reduced clocks at any reading, as NVML's bits; 0 for none.
    """

    seconds: float
    joules: float | None
    watts: float | None
    limit_watts: float | None
    sm_mhz: float | None
    memory_mhz: float | None
    celsius: float | None
    throttled: int | None


@dataclass
class Meter:
    """The result of `watch`; `energy` is set at the end of the block, and stays None without a GPU."""

    energy: Energy | None = None


# An idle GPU and clocks set by the user do not count as throttled (nvml.h, nvmlClocksThrottleReasons).
_NOT_THROTTLED = 0x1 | 0x2


@contextmanager
def watch(device: jax.Device) -> Iterator[Meter]:
    """Watch one GPU during the block; `meter.energy` stays None on other devices and without NVML."""
    meter = Meter()
    nvml = _nvml() if device.platform == "gpu" else None
    handle = _handle(nvml, device) if nvml else None
    if nvml is None or handle is None:
        yield meter
        return
    readings, ended = _Readings(nvml, handle), threading.Event()

    def read() -> None:
        while not ended.wait(INTERVAL_S):
            readings.take()

    readings.take()
    before, started = readings.joules(), time.perf_counter()
    thread = threading.Thread(target=read, name="energy", daemon=True)
    thread.start()
    try:
        yield meter
    finally:
        ended.set()
        thread.join()
        seconds, after = time.perf_counter() - started, readings.joules()
        readings.take()
        counted = after - before if before is not None and after is not None else None
        meter.energy = readings.energy(seconds, counted)
        nvml.nvmlShutdown()


def _nvml() -> Any | None:
    """Return the initialised module; None where it, the library or the driver is missing."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _handle(nvml: Any, device: jax.Device) -> Any | None:
    """Return NVML's handle of a device: NVML counts all GPUs, CUDA only those in CUDA_VISIBLE_DEVICES."""
    index = device.local_hardware_id if device.local_hardware_id is not None else device.id
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    try:
        if visible and index < len(visible):
            name = visible[index]
            if not name.isdigit():
                return nvml.nvmlDeviceGetHandleByUUID(name)
            index = int(name)
        return nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError:
        return None


@dataclass
class _Readings:
    """Values of a GPU by name, in the order of reading."""

    nvml: Any
    handle: Any
    values: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def take(self) -> None:
        """Read every value once; a value that the GPU does not know is left out."""
        nvml, handle = self.nvml, self.handle
        readers: dict[str, Callable[[], float]] = {
            "watts": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
            "limit_watts": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1e3,
            "sm_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "memory_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "celsius": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "throttled": lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
        }
        for name, read in readers.items():
            try:
                self.values[name].append(read())
            except nvml.NVMLError:
                continue

    def joules(self) -> float | None:
        """Return the GPU's own energy counter; None before Volta."""
        try:
            return float(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)) / 1e3
        except self.nvml.NVMLError:
            return None

    def energy(self, seconds: float, joules: float | None) -> Energy:
        """Summarise all readings."""
        watts = self._summary("watts", fmean)
        if joules is None and watts is not None:
            joules = watts * seconds
        reasons = [int(value) & ~_NOT_THROTTLED for value in self.values["throttled"]]
        return Energy(
            seconds=seconds,
            joules=joules,
            watts=joules / seconds if joules is not None and seconds > 0 else watts,
            limit_watts=self._summary("limit_watts", median_high),
            sm_mhz=self._summary("sm_mhz", median_high),
            memory_mhz=self._summary("memory_mhz", median_high),
            celsius=max(self.values["celsius"], default=None),
            throttled=functools.reduce(operator.or_, reasons) if reasons else None,
        )

    def _summary(self, name: str, summarize: Callable[[list[float]], float]) -> float | None:
        return float(summarize(self.values[name])) if self.values[name] else None
