"""One way to time anything: warm up, interleave the entries, wait for the device, report the spread.

Machines drift (clocks, neighbours, page cache). So entries take turns within a round and are compared round by round;
the order is reversed in every other round, so that no entry always follows the same one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds of every measured round of one callable, in order."""

    samples_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """The median, in seconds."""
        return float(np.median(self.samples_s))

    @property
    def p10_s(self) -> float:
        """The 10th percentile, in seconds."""
        return float(np.quantile(self.samples_s, 0.1))

    @property
    def p90_s(self) -> float:
        """The 90th percentile, in seconds."""
        return float(np.quantile(self.samples_s, 0.9))

    @property
    def spread(self) -> float:
        """The distance from the 10th to the 90th percentile, over the median."""
        return (self.p90_s - self.p10_s) / self.median_s


def measure(callables: dict[str, Callable[[], Any]], *, warmup: int = 1, rounds: int = 7) -> dict[str, Timing]:
    """Time callables, interleaved: each round calls every one once.

    A call ends when all arrays of its result are ready (`jax.block_until_ready`); other results pass through. The
    `warmup` untimed rounds keep compilation and first touches out of the timings.

    Raises:
        ValueError: There is nothing to measure, less than one round, or a negative warm-up.
    """
    if not callables:
        raise ValueError("there is nothing to measure")
    if rounds < 1 or warmup < 0:
        raise ValueError(f"rounds must be at least 1 and warmup at least 0, got {rounds} and {warmup}")
    samples: dict[str, list[float]] = {name: [] for name in callables}
    names = list(callables)
    for turn in range(warmup + rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            start = time.perf_counter()
            jax.block_until_ready(callables[name]())
            elapsed_s = time.perf_counter() - start
            if turn >= warmup:
                samples[name].append(elapsed_s)
    return {name: Timing(tuple(values)) for name, values in samples.items()}


def ratio(a: Timing, b: Timing) -> tuple[float, float, float]:
    """Return `(median, 10th, 90th percentile)` of a's time over b's, round by round; above 1, b is faster."""
    if len(a.samples_s) != len(b.samples_s):
        raise ValueError(f"the timings have {len(a.samples_s)} and {len(b.samples_s)} rounds: measure them together")
    median, low, high = np.quantile(np.divide(a.samples_s, b.samples_s), [0.5, 0.1, 0.9])
    return float(median), float(low), float(high)
