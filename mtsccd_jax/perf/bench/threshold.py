"""The exact threshold search: on distances of the host or the device, and on their histogram."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import jax
import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.threshold import ThresholdResult, best_threshold
from mtsccd_jax.ops.threshold_histogram import ThresholdHistogram
from mtsccd_jax.perf.bench.rows import Case, Ready, run_cases
from mtsccd_jax.perf.bench.settings import ThresholdSettings, TimedWindows
from mtsccd_jax.perf.records import Measurement, RecordFile

UNIT = "pairs/s"
CHANGED_SHARE = 0.13
# Distances per part of a histogram.
PART = 1 << 20


def run(settings: ThresholdSettings, record: RecordFile, windows: TimedWindows) -> list[Measurement]:
    """Measure every form and number of pairs on the distances of `made_up_pairs`."""
    objective = settings.objective
    cases = [
        Case(form, {"n": pairs, "objective": objective}, UNIT, partial(_PREPARE[form], pairs, objective))
        for form, pairs in product(settings.forms, settings.pairs)
    ]
    return run_cases(cases, record, windows)


def _host(pairs: int, objective: str) -> Ready:
    distance_n, changed_n = made_up_pairs(pairs)
    return _ready(lambda: best_threshold(distance_n, changed_n, objective), pairs)


def _device(pairs: int, objective: str) -> Ready:
    if jax.default_backend() == "cpu":
        raise InputError("no accelerator here: distances of CPU devices are sorted by the host")
    distance_n, changed_n = map(jax.device_put, made_up_pairs(pairs))
    return _ready(lambda: best_threshold(distance_n, changed_n, objective), pairs)


def _histogram(pairs: int, objective: str) -> Ready:
    distance_n, changed_n = made_up_pairs(pairs)
    place = np.asarray if jax.default_backend() == "cpu" else jax.device_put
    cuts = range(0, pairs, PART)
    parts = [(place(distance_n[cut : cut + PART]), place(changed_n[cut : cut + PART])) for cut in cuts]

    def search() -> ThresholdResult:
        histogram = ThresholdHistogram()
        while True:
            for distance, changed in parts:
                histogram.add(distance, changed)
            if histogram.is_settled(objective):
                return histogram.result(objective)
            histogram = histogram.refined(objective)

    return _ready(search, pairs)


_PREPARE: dict[str, Callable[[int, str], Ready]] = {"host": _host, "device": _device, "histogram": _histogram}


def _ready(call: Callable[[], Any], pairs: int) -> Ready:
    return Ready(call, pairs, lambda timing: {"ms": 1e3 * timing.median_s})


def made_up_pairs(pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `(distance_n float32, changed_n bool)`: two overlapping normals, 13 % changed, fixed by the number."""
    random = np.random.default_rng(0)
    changed_n = random.random(pairs, np.float32) < CHANGED_SHARE
    distance_n = np.abs(random.standard_normal(pairs, np.float32) + np.float32(1.5) * changed_n)
    return distance_n, changed_n
