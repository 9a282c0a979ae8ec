"""What `profile` finds out of a run, and what follows from it."""

from dataclasses import dataclass

from mtsccd_jax.perf.energy import Energy
from mtsccd_jax.perf.flops import model_flops
from mtsccd_jax.perf.hardware import Ceilings, Peak
from mtsccd_jax.perf.profile.layers import Layer
from mtsccd_jax.perf.profile.roofline import Place, Verdict
from mtsccd_jax.perf.timing import Timing


@dataclass(frozen=True)
class Rate:
    """Images/s of some windows: the median, the 10th and the 90th percentile."""

    median: float
    p10: float
    p90: float


@dataclass(frozen=True)
class Profile:
    """What was measured. Per-device figures divide by all devices; None is what cannot be known here.

    Attributes:
        source: name of the data.
        input: "resident" or "stream".
        batch_size: of all devices together, in images or pairs.
        images_per_example: 2 for pairs.
        steps_per_dispatch: training steps that one call of the device takes.
        devices: number of them.
        real: images/s with the recipe's data.
        synthetic: images/s with the same batch again and again.
        stall: share of the time with real data that is lost to waiting for them.
        compile_cold_s: tracing and compiling the step, nothing known of it.
        compile_warm_s: the same with the compiled program on disk.
        first_batch_s: from asking for the first batch to having it; of a resident split, loading it all.
        first_step_s: the first dispatch, compiled.
        step: one training step, waited for.
        dispatch_s: of a step, a program with the same arguments and results that does nothing.
        operations: that a step has the device start.
        operation_s: starting one.
        read_s: one batch, read and decoded by all threads; None for a resident split.
        transfer_s: one batch to the devices; None where host and device share memory.
        transfer_bytes: of that batch.
        layers: operations and bytes of the step, as it is done on these devices.
        forward_macs: multiply-accumulates of the network on a batch, by the plain convolution.
        ceilings: what one device was seen to reach.
        peak: what its maker says, None if unknown.
        program_bytes: of each device that a dispatch takes.
        device_peak_bytes: that a device held at most, None where it does not say.
        host_peak_bytes: that the process held at most.
        energy: of the first device, None without an NVIDIA GPU.
        energy_images: images that it was for, on all devices.
        verdict: what limits the run.
        place: of the step under the measured roof.
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
    verdict: Verdict
    place: Place

    @property
    def step_flops(self) -> int:
        """Operations of a step, all devices."""
        return sum(layer.flops for layer in self.layers)

    @property
    def product_flops(self) -> int:
        """Those of its products and convolutions."""
        return 2 * sum(layer.macs for layer in self.layers)

    @property
    def step_bytes(self) -> int:
        """Bytes that a step moves, all devices."""
        return sum(layer.bytes for layer in self.layers)

    @property
    def mfu(self) -> float | None:
        """Model FLOP utilisation: operations of three forward passes over the nominal peak; None if it is unknown."""
        peak = self.peak.flops_per_s(self.dtype) if self.peak else None
        images_per_step = self.batch_size * self.images_per_example
        if peak is None:
            return None
        return model_flops(self.forward_macs) / images_per_step * self.real.median / (self.devices * peak)
