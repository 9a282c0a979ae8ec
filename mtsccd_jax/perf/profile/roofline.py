"""The limit of a training step, from measurements alone: pure functions.

The roofline (Williams, Waterman and Patterson 2009): work with an intensity of I operations per byte runs at most at
min(matrix ceiling, I x memory ceiling). A step takes at least as long as its operations at the first ceiling, as its
bytes at the second, and as starting its operations. The longest of the three is its bound, unless the step waits for
its data, or the three together explain less than half of it.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["input", "transfer", "dispatch", "memory", "compute", "unexplained"]

# Waiting for input decides the verdict from this share of the time on. On a busy machine two runs of the same program
# differ by less, and any other remedy gains more. An accelerator that is fed well waits below 0.03.
STALL_SHARE = 0.15
# A step of which all causes together explain less than this share has none of them as its limit.
EXPLAINED_SHARE = 0.5
# Below this share of its ceiling a step loses more to slow operations than to the limit.
_FAR_BELOW = 0.3


@dataclass(frozen=True)
class Measurements:
    """Seconds of one training step of one device and of its parts; None where a part cannot be measured.

    Attributes:
        step_s: A step with a batch that lies on the device.
        input_stall_fraction: Share of the time with real data that is lost to waiting for them, 0 to 1. A resident
            split waits for the host, which sends the next rows.
        read_s: Reading and decoding one batch on the host, with all threads at work; None for a resident split.
        transfer_s: Moving one batch to the devices; None where host and device share memory.
        dispatch_s: A program with the same arguments and results that does nothing.
        launch_s: Starting as many operations as the step has, one after the other.
        compute_s: The products of the step at the measured matrix ceiling.
        memory_s: The bytes of the step at the measured copy ceiling.
    """

    step_s: float
    input_stall_fraction: float
    read_s: float | None
    transfer_s: float | None
    dispatch_s: float
    launch_s: float
    compute_s: float
    memory_s: float


@dataclass(frozen=True)
class Verdict:
    """The limit of a run, the measurement behind it in words, and what to change."""

    kind: Kind
    reason: str
    try_next: str

    @property
    def title(self) -> str:
        """The limit as an adjective: "compute-bound", or "unexplained"."""
        return self.kind if self.kind == "unexplained" else f"{self.kind}-bound"

    def __str__(self) -> str:
        return f"{self.title}: {self.reason}; {self.try_next}"


TRY_NEXT: dict[Kind, str] = {
    "input": "let the split be resident (data.input=resident) if it fits, store images at the size they are trained "
    "at, or give the run more cores",
    "transfer": "let the split be resident (data.input=resident) if it fits, or train at a smaller data.image_size",
    "dispatch": "take a larger batch (--batch auto), or more steps a dispatch (engine.steps_per_dispatch) where the "
    "split is resident",
    "memory": "compute in bfloat16 (engine.dtype=bfloat16), or choose a network with more operations a byte",
    "compute": "compute in bfloat16 (engine.dtype=bfloat16) where the device has units for it, or use more devices",
    "unexplained": "look at the layers of layers.csv and at a trace (--trace DIR) for slow operations, and "
    "at other programs on these processors; a larger batch has larger operations (--batch auto)",
}


def input_stall_fraction(real_images_per_s: float, synthetic_images_per_s: float) -> float:
    """Return the share of time that a run waits for real data: 1 - real / synthetic rate, never below 0."""
    if real_images_per_s <= 0 or synthetic_images_per_s <= 0:
        raise ValueError(f"rates must be positive, got {real_images_per_s} and {synthetic_images_per_s}")
    return max(1 - real_images_per_s / synthetic_images_per_s, 0.0)


def verdict(measured: Measurements, *, bfloat16: bool = False) -> Verdict:
    """Return the limit of a run; with `bfloat16` it computes in that type already, so that this is no remedy."""
    if measured.step_s <= 0 or not 0 <= measured.input_stall_fraction <= 1:
        raise ValueError(
            f"a step of {measured.step_s} s that waits for {measured.input_stall_fraction} of its time is none"
        )
    read_s, stall = measured.read_s, measured.input_stall_fraction
    if read_s is not None:
        # A step loses at most the time of supplying its batch; the rest is due to other work on the machine.
        supply_s = read_s + (measured.transfer_s or 0)
        stall = min(stall, supply_s / (measured.step_s + supply_s))
    if read_s is not None and stall >= STALL_SHARE:
        kind: Kind = "transfer" if (measured.transfer_s or 0) > read_s else "input"
        what = "moving them to the devices" if kind == "transfer" else "reading and decoding"
        took = measured.transfer_s if kind == "transfer" else read_s
        each = f"{what} alone takes {_ms(took)} a batch, a step {_ms(measured.step_s)}"
        return Verdict(kind, f"{stall:.0%} of the time with real data is spent waiting ({each})", TRY_NEXT[kind])
    overhead_s = measured.dispatch_s + measured.launch_s
    if read_s is None and stall < 1:  # nothing is read: real steps wait for the host, which sends the next rows
        overhead_s += measured.step_s * stall / (1 - stall)
    needs: dict[Kind, float] = {"dispatch": overhead_s, "memory": measured.memory_s, "compute": measured.compute_s}
    kind = max(needs, key=lambda name: needs[name])
    explained_s = sum(needs.values())
    if explained_s < EXPLAINED_SHARE * measured.step_s:
        shares = ", ".join(f"{name} {needs[name] / measured.step_s:.0%}" for name in needs)
        together = f"{shares}: together {explained_s / measured.step_s:.0%} of a step of {_ms(measured.step_s)}"
        return Verdict("unexplained", together, TRY_NEXT["unexplained"])
    share = needs[kind] / measured.step_s
    what = {
        "dispatch": "starting operations",
        "memory": "moving bytes at the speed of a copy",
        "compute": "matrix products at the speed of a large one",
    }[kind]
    others = ", ".join(f"{name} {needs[name] / measured.step_s:.0%}" for name in needs if name != kind)
    explained = f"{what} takes {share:.0%}" if share <= 1 else f"{what} alone would take {share:.0%}"
    reason = f"{explained} of a step of {_ms(measured.step_s)} ({others})"
    return Verdict(kind, reason, _remedy(kind, share, bfloat16))


def _remedy(kind: Kind, share: float, bfloat16: bool) -> str:
    if kind in ("memory", "compute"):
        if share < _FAR_BELOW:
            return "far below the ceiling: look at the layers of layers.csv and at a trace (--trace DIR) for slow ones"
        if bfloat16:
            return {
                "memory": "choose a network with more operations a byte, or a device with faster memory",
                "compute": "it is near the ceiling: use more devices, or a smaller network or data.image_size",
            }[kind]
    return TRY_NEXT[kind]


def attainable_flops_per_s(intensity: float, flops_per_s: float, bytes_per_s: float) -> float:
    """Return the height of the roof above work of `intensity` operations per byte."""
    if min(intensity, flops_per_s, bytes_per_s) <= 0:
        raise ValueError(f"must all be positive: {intensity}, {flops_per_s}, {bytes_per_s}")
    return min(flops_per_s, intensity * bytes_per_s)


@dataclass(frozen=True)
class Place:
    """The place of a step below the roof.

    Attributes:
        intensity: Operations of its products per byte.
        flops_per_s: Operations/s that it reaches.
        attainable_flops_per_s: The height of the roof there.
        ridge: The intensity from which on the matrix ceiling is the roof.
    """

    intensity: float
    flops_per_s: float
    attainable_flops_per_s: float
    ridge: float

    @property
    def share(self) -> float:
        """The share of the roof that is reached."""
        return self.flops_per_s / self.attainable_flops_per_s


def place(flops: float, moved_bytes: float, step_s: float, flops_per_s: float, bytes_per_s: float) -> Place:
    """Return the place of a step of `flops` operations and `moved_bytes` bytes under the measured ceilings."""
    if min(flops, moved_bytes, step_s) <= 0:
        raise ValueError(f"a step needs work and time: {flops} operations, {moved_bytes} bytes, {step_s} s")
    intensity = flops / moved_bytes
    roof = attainable_flops_per_s(intensity, flops_per_s, bytes_per_s)
    return Place(intensity, flops / step_s, roof, flops_per_s / bytes_per_s)


def _ms(seconds: float | None) -> str:
    return "an unknown time" if seconds is None else f"{1e3 * seconds:,.3g} ms"
