"""How many accelerators this host feeds, by the rule of MLPerf Storage: those that it keeps busy 90 % of the time.

An emulated accelerator takes a batch and then computes, here a pause as long as its training step of ResNet-50. Each of
n accelerators has a batch a step, and this host reads, decodes and transfers them as in training.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

import jax
import numpy as np

from mtsccd_jax.data.order import permutation
from mtsccd_jax.data.sources import Source
from mtsccd_jax.data.stream import PREFETCH_BATCHES, stream, to_device, usable_cores
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.perf.bench.rows import Case, Ready, run_cases
from mtsccd_jax.perf.bench.settings import InputSettings, TimedWindows
from mtsccd_jax.perf.records import Measurement, RecordFile, Scalar
from mtsccd_jax.perf.timing import Timing

logger = logging.getLogger(__name__)

BUSY = 0.9  # of the time; what MLPerf Storage asks for
_MOST_WINDOWS, _ROUNDS_BEFORE = 3, 3  # that are timed, and before these


@dataclass(frozen=True)
class Accelerator:
    """What an accelerator takes: `batch` images every `step_s` seconds."""

    batch: int
    step_s: float


# mlcommons/storage, configs/dlio/workload/resnet50_h100.yaml.
ACCELERATORS = {"h100": Accelerator(batch=400, step_s=0.224)}


def measure_feeds(
    source: Source, conditions: dict[str, Scalar], settings: InputSettings, record: RecordFile, windows: TimedWindows
) -> list[Measurement]:
    """Measure one accelerator, two, and so on, up to the first number that is not kept busy."""
    assert settings.feed is not None
    # A round has steps for all threads, and is a window of its own.
    windows = replace(windows, windows=min(windows.windows, _MOST_WINDOWS), window_s=0)
    rows: list[Measurement] = []
    for accelerators in count(1):
        about = conditions | {"accelerator": settings.feed, "accelerators": accelerators}
        with ExitStack() as streams:
            ready = partial(_ready, source, accelerators, settings, windows, streams)
            rows += run_cases([Case("feed", about, "images/s", ready)], record, windows)
        if rows[-1].rate is None:
            return rows
        if utilisation(rows[-1]) < BUSY:
            break
    logger.info(f"this host feeds {len(rows) - 1} {settings.feed}: {len(rows)} would be busy for less than {BUSY:.0%}")
    return rows


def utilisation(row: Measurement) -> float:
    """Return the share of the time that the accelerators of a row computed, 0 where nothing was measured."""
    return float(row.details.get("utilisation") or 0)


def _ready(
    source: Source, accelerators: int, settings: InputSettings, windows: TimedWindows, streams: ExitStack
) -> Ready:
    """Return a round of steps of all accelerators, in each of which they wait for their batches and compute.

    Each thread decodes a batch of its own, so batches come in bursts: a round has a step for every thread.
    """
    assert settings.feed is not None
    one, threads = ACCELERATORS[settings.feed], usable_cores() if settings.threads is None else settings.threads
    batch, ahead = one.batch * accelerators, max(PREFETCH_BATCHES, threads) + 1
    steps = ahead + threads * (windows.windows + _ROUNDS_BEFORE)
    order_sb = np.resize(permutation(0, 0, len(source)), (steps, batch))
    host_batches = streams.enter_context(stream(source, order_sb, threads=threads))
    place = make_parallel("jit", jax.local_devices()[:1]).place
    batches: Iterator[dict[str, jax.Array]] = to_device(host_batches, place)

    for _ in range(ahead):  # what was read before anybody waited
        next(batches)

    def take_and_compute() -> None:
        for _ in range(threads):
            next(batches)
            time.sleep(one.step_s)

    def share_of_time(timing: Timing) -> dict[str, float]:
        return {"utilisation": threads * one.step_s / timing.median_s}

    return Ready(take_and_compute, threads * batch, share_of_time)
