"""Energy, power and clocks of an NVIDIA GPU while something runs, read through NVML."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax

# Seconds between two readings: NVML's own power values are averages of about as long.
INTERVAL_S = 0.1


@dataclass(frozen=True)
class Energy:
    """What one GPU took while something ran; None where the driver does not say.

    Attributes:
        seconds: how long it was watched.
        joules: by the GPU's own counter, or else power times time.
        watts: on average.
        limit_watts: that it may take.
        sm_mhz: clock of its processors, the median reading.
        memory_mhz: clock of its memory, the median reading.
        celsius: its temperature, the highest reading.
        throttled: why its clocks were held down at any reading, as NVML's bits; 0 for not at all.
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
    """What is being watched; `energy` is there once the block has ended, and stays None without a GPU."""

    energy: Energy | None = None


# A GPU that idles or runs at clocks that someone has set is not held down (nvml.h, nvmlClocksThrottleReasons).
_NOT_HELD_DOWN = 0x1 | 0x2


@contextmanager
def watch(device: jax.Device) -> Iterator[Meter]:
    """Inside, one GPU is watched; `meter.energy` is None on other devices, and where NVML is not there."""
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
    """The module, started; None where it, the library or the driver is missing."""
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
    """NVML's own number of a device: it counts all GPUs, CUDA those that CUDA_VISIBLE_DEVICES lets it see."""
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
    """Values of a GPU, by name, in the order in which they were read."""

    nvml: Any
    handle: Any
    values: dict[str, list[float]] = field(default_factory=dict)

    def take(self) -> None:
        """Nothing; reads everything once. What a GPU does not know is left out."""
        nvml, handle = self.nvml, self.handle
        for name, read in (
            ("watts", lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3),
            ("limit_watts", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1e3),
            ("sm_mhz", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            ("memory_mhz", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
            ("celsius", lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            ("throttled", lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)),
        ):
            try:
                self.values.setdefault(name, []).append(read())
            except nvml.NVMLError:
                continue

    def joules(self) -> float | None:
        """The GPU's own counter; None before Volta."""
        try:
            return self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle) / 1e3
        except self.nvml.NVMLError:
            return None

    def energy(self, seconds: float, joules: float | None) -> Energy:
        """All readings in one."""
        watts = self._middle("watts", mean=True)
        if joules is None and watts is not None:
            joules = watts * seconds
        reasons = None
        if self.values.get("throttled"):
            reasons = 0
            for value in self.values["throttled"]:
                reasons |= int(value) & ~_NOT_HELD_DOWN
        return Energy(
            seconds=seconds,
            joules=joules,
            watts=joules / seconds if joules is not None and seconds > 0 else watts,
            limit_watts=self._middle("limit_watts"),
            sm_mhz=self._middle("sm_mhz"),
            memory_mhz=self._middle("memory_mhz"),
            celsius=max(self.values["celsius"], default=None) if "celsius" in self.values else None,
            throttled=reasons,
        )

    def _middle(self, name: str, mean: bool = False) -> float | None:
        values = sorted(self.values.get(name, []))
        if not values:
            return None
        return sum(values) / len(values) if mean else float(values[len(values) // 2])
