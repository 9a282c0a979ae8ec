"""What limits a training step, from measurements alone: pure functions.

The roofline (Williams, Waterman and Patterson 2009): work that does I operations a byte runs at most at
min(matrix ceiling, I x memory ceiling). A step takes at least as long as its operations at the one ceiling, as its
bytes at the other, and as starting its operations; the longest of the three is what it is bound by. Where real data
make it wait, none of them matters.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["input", "transfer", "dispatch", "memory", "compute"]

# Waiting for input decides the verdict from this share of the time on. Less is within what two runs of the same program
# differ by on a busy machine, and buys less than any other remedy; an accelerator that is fed well waits below 0.03.
STALL_SHARE = 0.15
# Below this share of its own ceiling a step loses more to slow operations than to the limit.
_FAR_BELOW = 0.3


@dataclass(frozen=True)
class Measurements:
    """What one training step of one device takes, in seconds; None where it cannot be known.

    Attributes:
        step_s: with a batch that lies on the device.
        input_stall_fraction: of the time with real data that is lost to waiting for them, 0 to 1; of a resident split,
            to the host that says which rows are next.
        read_s: reading and decoding one batch on the host, with all threads at work; None for a resident split.
        transfer_s: moving one batch to the devices; None where host and device share memory.
        dispatch_s: a program with the same arguments and results that does nothing.
        launch_s: starting as many operations as the step has, one after the other.
        compute_s: the step's products at the measured matrix ceiling.
        memory_s: the step's bytes at the measured copy ceiling.
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
    """What limits a run.

    Attributes:
        kind: the limit.
        reason: the measurement that says so, in words.
        try_next: what to do about it.
    """

    kind: Kind
    reason: str
    try_next: str

    def __str__(self) -> str:
        return f"{self.kind}-bound: {self.reason}; {self.try_next}"


TRY_NEXT: dict[Kind, str] = {
    "input": "let the split be resident (data.input=resident) if it fits, store images at the size they are trained "
    "at, or give the run more cores",
    "transfer": "let the split be resident (data.input=resident) if it fits, or train at a smaller data.image_size",
    "dispatch": "take a larger batch (--batch auto), or more steps a dispatch (engine.steps_per_dispatch) where the "
    "split is resident",
    "memory": "compute in bfloat16 (engine.dtype=bfloat16), or choose a network with more operations a byte",
    "compute": "compute in bfloat16 (engine.dtype=bfloat16) where the device has units for it, or use more devices",
}


def input_stall_fraction(real_images_per_s: float, synthetic_images_per_s: float) -> float:
    """The share of the time with real data that a run waits for them: 1 - real / synthetic rate, never below 0.

    Raises:
        ValueError: a rate is not positive.
    """
    if real_images_per_s <= 0 or synthetic_images_per_s <= 0:
        raise ValueError(f"rates must be positive, got {real_images_per_s} and {synthetic_images_per_s}")
    return max(1 - real_images_per_s / synthetic_images_per_s, 0.0)


def verdict(measured: Measurements, *, bfloat16: bool = False) -> Verdict:
    """What limits the run.

    Args:
        measured: from above.
        bfloat16: whether it computes in bfloat16 already, which is then no remedy.

    Raises:
        ValueError: a step without duration, or a share outside 0 to 1.
    """
    if measured.step_s <= 0 or not 0 <= measured.input_stall_fraction <= 1:
        raise ValueError(
            f"a step of {measured.step_s} s that waits for {measured.input_stall_fraction} of its time is none"
        )
    read_s, stall = measured.read_s, measured.input_stall_fraction
    if read_s is not None:
        # A step loses no more than it takes to supply its batch; what goes beyond is other work on the machine.
        supply_s = read_s + (measured.transfer_s or 0)
        stall = min(stall, supply_s / (measured.step_s + supply_s))
    if read_s is not None and stall >= STALL_SHARE:
        kind: Kind = "transfer" if (measured.transfer_s or 0) > read_s else "input"
        what = "moving them to the devices" if kind == "transfer" else "reading and decoding"
        took = measured.transfer_s if kind == "transfer" else read_s
        each = f"{what} alone takes {_ms(took)} a batch, a step {_ms(measured.step_s)}"
        return Verdict(kind, f"{stall:.0%} of the time with real data is spent waiting ({each})", TRY_NEXT[kind])
    overhead_s = measured.dispatch_s + measured.launch_s
    if read_s is None and stall < 1:  # nothing is read: what real steps wait for is the host, which says what is next
        overhead_s += measured.step_s * stall / (1 - stall)
    needs: dict[Kind, float] = {
        "dispatch": overhead_s,
        "memory": measured.memory_s,
        "compute": measured.compute_s,
    }
    kind = max(needs, key=lambda name: needs[name])
    share = needs[kind] / measured.step_s
    what = {
        "dispatch": "starting operations",
        "memory": "moving bytes at the speed of a copy",
        "compute": "matrix products at the speed of a large one",
    }[kind]
    others = ", ".join(f"{name} {needs[name] / measured.step_s:.0%}" for name in needs if name != kind)
    explained = f"{what} takes {share:.0%}" if share <= 1 else f"{what} alone would take {share:.0%}"
    if kind == "dispatch" and share < _FAR_BELOW:  # small operations cost more than the empty ones that were timed
        explained = f"its operations are too small to keep the device at work; starting them takes {share:.0%} or more"
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
    """The height of the roof above work of `intensity` operations a byte.

    Raises:
        ValueError: a value is not positive.
    """
    if min(intensity, flops_per_s, bytes_per_s) <= 0:
        raise ValueError(f"must all be positive: {intensity}, {flops_per_s}, {bytes_per_s}")
    return min(flops_per_s, intensity * bytes_per_s)


@dataclass(frozen=True)
class Place:
    """Where a step lies below the roof.

    Attributes:
        intensity: operations of its products a byte.
        flops_per_s: that it achieves.
        attainable_flops_per_s: the roof there.
        ridge: the intensity from which on the matrix ceiling is the roof.
    """

    intensity: float
    flops_per_s: float
    attainable_flops_per_s: float
    ridge: float

    @property
    def share(self) -> float:
        """Of the roof, what is achieved."""
        return self.flops_per_s / self.attainable_flops_per_s


def place(flops: float, moved_bytes: float, step_s: float, flops_per_s: float, bytes_per_s: float) -> Place:
    """The place of a step of `flops` operations and `moved_bytes` bytes under the measured ceilings.

    Raises:
        ValueError: a value is not positive.
    """
    if min(flops, moved_bytes, step_s) <= 0:
        raise ValueError(f"a step needs work and time: {flops} operations, {moved_bytes} bytes, {step_s} s")
    intensity = flops / moved_bytes
    roof = attainable_flops_per_s(intensity, flops_per_s, bytes_per_s)
    return Place(intensity, flops / step_s, roof, flops_per_s / bytes_per_s)


def _ms(seconds: float | None) -> str:
    return "an unknown time" if seconds is None else f"{1e3 * seconds:,.3g} ms"
