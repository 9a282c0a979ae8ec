"""Time every row alike: warm up, then timed windows of many calls, with entries taking turns."""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax

from mtsccd_jax.perf.bench.settings import TimedWindows
from mtsccd_jax.perf.timing import Timing, measure

# Bounds the window of a call that takes no time.
_MOST_CALLS = 10_000


def time_calls(calls: Mapping[Any, Callable[[], Any]], windows: TimedWindows) -> dict[str, Timing]:
    """Return the seconds per call of every callable, for each window.

    The results of all calls of a window are waited for together, so that the device never idles between two calls. Then
    the next callable has its window. The windows of one callable lie apart, so a slow moment of the machine falls into
    few of them.

    Args:
        calls: Compiled callables. A result must stay valid during the next call: no donated state.
        windows: How many windows, and how long.
    """
    counts = {name: _calls_of_window(call, windows.window_s) for name, call in calls.items()}
    batches: dict[str, Callable[[], Any]] = {name: partial(_repeat, call, counts[name]) for name, call in calls.items()}
    timings = measure(batches, warmup=1, rounds=windows.windows)
    return {
        name: Timing(tuple(seconds / counts[name] for seconds in timing.samples_s)) for name, timing in timings.items()
    }


def _calls_of_window(call: Callable[[], Any], window_s: float) -> int:
    """Return how many calls fill a window, from the time of a second call."""
    jax.block_until_ready(call())
    started = time.perf_counter()
    jax.block_until_ready(call())
    once_s = time.perf_counter() - started
    return max(1, min(_MOST_CALLS, math.ceil(window_s / max(once_s, 1e-9))))


def _repeat(call: Callable[[], Any], times: int) -> list[Any]:
    return [call() for _ in range(times)]
