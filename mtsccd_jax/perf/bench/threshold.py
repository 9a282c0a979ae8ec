"""The exact threshold search by number of pairs: of distances on the host, on the device, and of their histogram."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import jax
import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.threshold import ThresholdResult, best_threshold
from mtsccd_jax.ops.threshold_histogram import ThresholdHistogram
from mtsccd_jax.perf.bench.rows import Case, Ready, run_cases
from mtsccd_jax.perf.bench.windows import DEFAULT, Protocol
from mtsccd_jax.perf.records import Measurement, RecordFile
from mtsccd_jax.perf.timing import Timing

UNIT = "pairs/s"
CHANGED_SHARE = 0.13
FORMS = ("host", "device", "histogram")
# Distances of the histogram come in parts of this many.
PART = 1 << 20


@dataclass(frozen=True)
class Settings:
    """How the best threshold is found, and of how many pairs.

    Distances are in an array of the "host" or of the "device", or pass by in parts as often as a "histogram" of them
    asks for: on the host, or on an accelerator where there is one.
    """

    forms: tuple[str, ...] = FORMS
    pairs: tuple[int, ...] = (10_000, 100_000, 1_000_000, 10_000_000)
    objective: str = "kappa"
    protocol: Protocol = DEFAULT


def run(settings: Settings, record: RecordFile) -> list[Measurement]:
    """The rows of every form and number: float32 distances, 13 % changed, two overlapping normals."""
    cases = [
        Case(form, {"n": pairs, "objective": settings.objective}, UNIT, partial(_PREPARE[form], pairs, settings))
        for form, pairs in product(settings.forms, settings.pairs)
    ]
    return run_cases(cases, settings.protocol, record)


def _host(pairs: int, settings: Settings) -> Ready:
    distance_n, changed_n = made_up_pairs(pairs)
    return _ready(lambda: best_threshold(distance_n, changed_n, settings.objective), pairs)


def _device(pairs: int, settings: Settings) -> Ready:
    if jax.default_backend() == "cpu":
        raise InputError("no accelerator here: distances of CPU devices are sorted by the host")
    distance_n, changed_n = map(jax.device_put, made_up_pairs(pairs))
    return _ready(lambda: best_threshold(distance_n, changed_n, settings.objective), pairs)


def _histogram(pairs: int, settings: Settings) -> Ready:
    distance_n, changed_n = made_up_pairs(pairs)
    place = np.asarray if jax.default_backend() == "cpu" else jax.device_put
    cuts = range(0, pairs, PART)
    parts = [(place(distance_n[cut : cut + PART]), place(changed_n[cut : cut + PART])) for cut in cuts]

    def search() -> ThresholdResult:
        histogram = ThresholdHistogram()
        while True:
            for distance, changed in parts:
                histogram.add(distance, changed)
            if histogram.is_settled(settings.objective):
                return histogram.result(settings.objective)
            histogram = histogram.refined(settings.objective)

    return _ready(search, pairs)


_PREPARE: dict[str, Callable[[int, Settings], Ready]] = {"host": _host, "device": _device, "histogram": _histogram}


def _ready(call: Callable[[], Any], pairs: int) -> Ready:
    def details(timing: Timing) -> dict[str, float]:
        return {"ms": 1e3 * timing.median_s}

    return Ready(call, pairs, details)


def made_up_pairs(pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """`(distance_n float32, changed_n bool)`, the same for the same number."""
    random = np.random.default_rng(0)
    changed_n = random.random(pairs, np.float32) < CHANGED_SHARE
    distance_n = np.abs(random.standard_normal(pairs, np.float32) + np.float32(1.5) * changed_n)
    return distance_n, changed_n
