"""Time calls in windows; rows of single calls are found in the record, or else prepared, measured and added."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax

from mtsccd_jax.errors import InputError
from mtsccd_jax.perf.bench.settings import TimedWindows
from mtsccd_jax.perf.records import Measurement, RecordFile, Scalar, measurement
from mtsccd_jax.perf.timing import Timing, measure

logger = logging.getLogger(__name__)

# Bounds the window of a call that takes no time.
_MOST_CALLS = 10_000


@dataclass(frozen=True)
class Ready:
    """A call to time, how much of the unit it does, and the details of the row from its finished timing."""

    call: Callable[[], Any]
    amount: int
    details: Callable[[Timing], Mapping[str, Scalar]] = field(default=lambda timing: {})


@dataclass(frozen=True)
class Case:
    """A row to measure; `prepare` raises InputError with the reason where it cannot be measured."""

    name: str
    conditions: Mapping[str, Scalar]
    unit: str
    prepare: Callable[[], Ready]


def run_cases(cases: list[Case], record: RecordFile, windows: TimedWindows) -> list[Measurement]:
    """Return the rows of all cases; measure those that the record does not have yet."""
    rows = []
    for case in cases:
        row = record.find(case.name, case.conditions, case.unit)
        if row is None:
            row = _measured(case, windows)
            record.add(row)
            logger.info(line(row))
        rows.append(row)
    return rows


def _measured(case: Case, windows: TimedWindows) -> Measurement:
    try:
        ready = case.prepare()
    except InputError as error:
        return Measurement(name=case.name, conditions=case.conditions, unit=case.unit, reason=str(error))

    def waited() -> None:
        jax.block_until_ready(ready.call())  # results may be large: drop one before the next is made

    timing = time_calls({case.name: waited}, windows)[case.name]
    return measurement(case.name, case.conditions, case.unit, timing, ready.amount, ready.details(timing))


def line(row: Measurement) -> str:
    """Return a row as one line for people."""
    if row.rate is None:
        return f"{row.title()}: {row.reason}"
    rates = f"{_short(row.rate)} {row.unit} ({_short(row.rate_p10)} to {_short(row.rate_p90)})"
    others = [f"{name} {_short(value)}" for name, value in row.details.items() if isinstance(value, float)]
    return ", ".join([f"{row.title()}: {rates}", *others])


def _short(value: float | None) -> str:
    """Format a number with four significant digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def time_calls(calls: Mapping[Any, Callable[[], Any]], windows: TimedWindows) -> dict[str, Timing]:
    """Return the seconds per call of every compiled callable, for each window.

    The results of all calls of a window are waited for together, so that the device never idles between two calls: a
    result must stay valid during the next call, so no state may be donated. Then the next callable has its window. The
    windows of one callable lie apart, so a slow moment of the machine falls into few of them.
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
