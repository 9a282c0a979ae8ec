"""The result of `profile`: what was measured, and what follows from it."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mtsccd_jax.perf.energy import Energy
from mtsccd_jax.perf.flops import model_flops
from mtsccd_jax.perf.hardware import Ceilings, Peak
from mtsccd_jax.perf.profile.layers import Layer
from mtsccd_jax.perf.profile.roofline import Measurements, Place, Verdict, place, verdict
from mtsccd_jax.perf.timing import Timing


@dataclass(frozen=True)
class Rate:
    """Images/s of some windows: the median, the 10th and the 90th percentile."""

    median: float
    p10: float
    p90: float

    def named(self, prefix: str = "") -> dict[str, float]:
        """Return the three values under the names that they have in JSON."""
        name = f"{prefix}images_per_s"
        return {name: self.median, f"{name}_p10": self.p10, f"{name}_p90": self.p90}


@dataclass(frozen=True)
class Profile:
    """The measurements of a run; None where one cannot be made here.

    Attributes:
        input: "resident" or "stream".
        batch_size: Images or pairs of all devices together.
        images_per_example: 2 for pairs, else 1.
        synthetic: Images/s with the same batch again and again.
        stall: Share of the time with real data that is lost to waiting for them.
        compile_warm_s: The same with the compiled program on disk.
        first_batch_s: Seconds until the first batch is there; for a resident split, until all of it is loaded.
        step: Seconds of one training step that is waited for.
        dispatch_s: Seconds per step of a program with the same arguments and results that does nothing.
        read_s: Seconds of reading and decoding one batch with all threads; None for a resident split.
        transfer_s: Seconds of moving one batch to the devices; None where host and device share memory.
        layers: Operations and bytes of the step on these devices, all devices together.
        forward_macs: Multiply-accumulates of the network on a batch, with plain convolutions.
        ceilings: Rates that one device was seen to reach.
        peak: Nominal rates of one device, None if unknown.
        program_bytes: Bytes of each device that a dispatch takes.
        energy: Energy of the first device, None without an NVIDIA GPU.
        energy_images: Images of all devices while the energy was measured.
    """

    source: str
    input: str
    batch_size: int
    images_per_example: int
    steps_per_dispatch: int
    devices: int
    real: Rate
    synthetic: Rate
    stall: float
    compile_cold_s: float
    compile_warm_s: float
    first_batch_s: float
    first_step_s: float
    step: Timing
    dispatch_s: float
    operations: int
    operation_s: float
    read_s: float | None
    transfer_s: float | None
    transfer_bytes: int
    layers: tuple[Layer, ...]
    forward_macs: int
    ceilings: Ceilings
    peak: Peak | None
    dtype: str
    program_bytes: int | None
    device_peak_bytes: int | None
    host_peak_bytes: int
    energy: Energy | None
    energy_images: int

    @property
    def images_per_step(self) -> int:
        """Images of one step on all devices; a pair has two."""
        return self.batch_size * self.images_per_example

    @property
    def step_s(self) -> float:
        """Seconds of a step in a row of steps: the host prepares the next one meanwhile."""
        return self.images_per_step / self.synthetic.median

    @property
    def step_flops(self) -> int:
        """Floating-point operations of a step, all devices together."""
        return sum(layer.flops for layer in self.layers)

    @property
    def product_flops(self) -> int:
        """Floating-point operations of the products and convolutions of a step."""
        return 2 * sum(layer.macs for layer in self.layers)

    @property
    def step_bytes(self) -> int:
        """Bytes that a step moves, all devices together."""
        return sum(layer.bytes for layer in self.layers)

    @property
    def mfu(self) -> float | None:
        """Model FLOP utilisation: operations of three forward passes over the nominal peak; None if it is unknown."""
        peak = self.peak.flops_per_s(self.dtype) if self.peak else None
        if peak is None:
            return None
        return model_flops(self.forward_macs) / self.images_per_step * self.real.median / (self.devices * peak)

    @property
    def place(self) -> Place:
        """The place of the step under the measured roof of one device."""
        flops, moved_bytes = self.product_flops / self.devices, self.step_bytes / self.devices
        return place(flops, moved_bytes, self.step_s, self.ceilings.flops_per_s, self.ceilings.bytes_per_s)

    @property
    def verdict(self) -> Verdict:
        """The limit of the run."""
        measured = Measurements(
            step_s=self.step_s,
            input_stall_fraction=self.stall,
            read_s=self.read_s,
            transfer_s=self.transfer_s,
            dispatch_s=min(self.dispatch_s, self.step_s),
            launch_s=self.operations * self.operation_s,
            compute_s=self.product_flops / self.devices / self.ceilings.flops_per_s,
            memory_s=self.step_bytes / self.devices / self.ceilings.bytes_per_s,
        )
        return verdict(measured, bfloat16=self.dtype == "bfloat16")

    def summary(self) -> dict[str, Any]:
        """Return all values by name, JSON types only; rates are per second, sizes in bytes, unknown values None."""
        found, at, step_s = self.verdict, self.place, self.step_s
        bytes_per_s = self.step_bytes / self.devices / step_s
        p50_s, p90_s, p99_s = np.quantile(self.step.samples_s, [0.5, 0.9, 0.99]).tolist()
        return {
            "verdict": found.kind,
            "reason": found.reason,
            "try_next": found.try_next,
            "input_stall_fraction": self.stall,
            **self.real.named(),
            "images_per_s_per_device": self.real.median / self.devices,
            **self.synthetic.named("synthetic_"),
            "mfu": self.mfu,
            "ceiling_share": at.flops_per_s / self.ceilings.flops_per_s,
            "source": self.source,
            "input": self.input,
            "batch_size": self.batch_size,
            "devices": self.devices,
            "dtype": self.dtype,
            "steps_per_dispatch": self.steps_per_dispatch,
            "compile_cold_s": self.compile_cold_s,
            "compile_warm_s": self.compile_warm_s,
            "first_batch_s": self.first_batch_s,
            "first_step_s": self.first_step_s,
            "step_ms": 1e3 * step_s,
            "step_ms_p50": 1e3 * p50_s,
            "step_ms_p90": 1e3 * p90_s,
            "step_ms_p99": 1e3 * p99_s,
            "dispatch_ms": 1e3 * self.dispatch_s,
            "dispatch_share": min(self.dispatch_s / step_s, 1.0),
            "operations": self.operations,
            "operation_us": 1e6 * self.operation_s,
            "launch_share": self.operations * self.operation_s / step_s,
            "read_images_per_s": self.images_per_step / self.read_s if self.read_s else None,
            "transfer_ms": 1e3 * self.transfer_s if self.transfer_s else None,
            "transfer_gb_per_s": self.transfer_bytes / self.transfer_s / 1e9 if self.transfer_s else None,
            "forward_macs_per_image": self.forward_macs / self.images_per_step,
            "step_flops": self.step_flops,
            "step_product_flops": self.product_flops,
            "step_bytes": self.step_bytes,
            "intensity_flops_per_byte": at.intensity,
            "products_per_s": at.flops_per_s,
            "bandwidth_bytes_per_s": bytes_per_s,
            "bandwidth_share": bytes_per_s / self.ceilings.bytes_per_s,
            "roofline_share": at.share,
            "ceilings": asdict(self.ceilings),
            "peak": asdict(self.peak) if self.peak else None,
            "program_bytes": self.program_bytes,
            "device_peak_bytes": self.device_peak_bytes,
            "host_peak_bytes": self.host_peak_bytes,
            "energy": self._energy(),
        }

    def _energy(self) -> dict[str, Any] | None:
        if self.energy is None:
            return None
        joules = self.energy.joules
        # One device is measured, and all devices share the images.
        each = joules * self.devices / self.energy_images if joules is not None and self.energy_images else None
        return {**asdict(self.energy), "joules_per_image": each}
