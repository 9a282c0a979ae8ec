"""The protocol of every row: warm up, then timed windows of many calls, each waited for, rivals taking turns."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from mtsccd_jax.perf.timing import Timing, measure

# A window of a call that does nothing ends, too.
_MOST_CALLS = 10_000


@dataclass(frozen=True)
class Protocol:
    """How long is measured.

    Attributes:
        windows: timed windows of each row; the median is its rate.
        window_s: seconds that each takes at least; a call that takes longer is a window of its own.
    """

    windows: int = 10
    window_s: float = 0.5


DEFAULT = Protocol()


def time_calls(calls: Mapping[Any, Callable[[], Any]], protocol: Protocol) -> dict[str, Timing]:
    """Seconds a call, of every callable and window.

    What a window's calls return is waited for together, so that a device never is between two of them; then the next
    callable has its window. Windows of one callable so lie apart, and a slow moment of the machine is in few of them.

    Args:
        calls: compiled already. What one returns must stay valid while it is called again: not a donated state.
        protocol: how many windows, how long.
    """
    counts = {name: _calls_of_window(call, protocol.window_s) for name, call in calls.items()}
    batches: dict[str, Callable[[], Any]] = {name: partial(_repeat, call, counts[name]) for name, call in calls.items()}
    timings = measure(batches, warmup=1, rounds=protocol.windows)
    return {
        name: Timing(tuple(seconds / counts[name] for seconds in timing.samples_s)) for name, timing in timings.items()
    }


def _calls_of_window(call: Callable[[], Any], window_s: float) -> int:
    """How many calls fill a window, from one call after a first that warms up."""
    jax.block_until_ready(call())
    started = time.perf_counter()
    jax.block_until_ready(call())
    once_s = time.perf_counter() - started
    return max(1, min(_MOST_CALLS, math.ceil(window_s / max(once_s, 1e-9))))


def _repeat(call: Callable[[], Any], times: int) -> list[Any]:
    return [call() for _ in range(times)]
