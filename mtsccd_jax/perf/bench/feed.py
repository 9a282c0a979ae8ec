"""How many accelerators this host feeds, by the rule of MLPerf Storage: those that it keeps busy 90 % of the time.

An emulated accelerator takes a batch and then computes, here a pause as long as its training step of ResNet-50. Each of
n accelerators has a batch a step, and this host reads, decodes and transfers them as in training.
"""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count

import jax
import numpy as np

from mtsccd_jax.data.order import permutation
from mtsccd_jax.data.sources import Source
from mtsccd_jax.data.stream import stream, to_device
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.perf.bench.rows import Case, Ready, run_cases
from mtsccd_jax.perf.bench.settings import InputSettings, TimedWindows
from mtsccd_jax.perf.records import Measurement, RecordFile, Scalar

logger = logging.getLogger(__name__)

BUSY = 0.9  # of the time; what MLPerf Storage asks for


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
    rows = []
    for accelerators in count(1):
        about = conditions | {"accelerator": settings.feed, "accelerators": accelerators}
        with ExitStack() as streams:
            ready = partial(_ready, source, accelerators, settings, windows, streams)
            rows += run_cases([Case("feed", about, "images/s", ready)], record, windows)
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
    """Return a step of all accelerators: they wait for their batches, and compute."""
    assert settings.feed is not None
    one = ACCELERATORS[settings.feed]
    batch = one.batch * accelerators
    # Every call takes a step's time or more: those of all windows, and the four before them.
    steps = (windows.windows + 1) * (math.ceil(windows.window_s / one.step_s) + 1) + 4
    order_sb = np.resize(permutation(0, 0, len(source)), (steps, batch))
    host_batches = streams.enter_context(stream(source, order_sb, threads=settings.threads))
    place = make_parallel("jit", jax.local_devices()[:1]).place
    batches: Iterator[dict[str, jax.Array]] = to_device(host_batches, place)

    def step() -> dict[str, jax.Array]:
        taken = next(batches)
        time.sleep(one.step_s)
        return taken

    return Ready(step, batch, lambda timing: {"utilisation": one.step_s / timing.median_s})
