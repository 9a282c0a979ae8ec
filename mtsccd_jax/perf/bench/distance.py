"""Distances between features, and nearest neighbours: pairs/s and GFLOP/s."""

from collections.abc import Callable
from functools import cache, partial
from itertools import product
from typing import Any

import jax
import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.distance import nearest_neighbors, paired_distance, pairwise_distance
from mtsccd_jax.perf.bench.rows import Case, Ready, run_cases
from mtsccd_jax.perf.bench.settings import DistanceSettings, Operation, TimedWindows
from mtsccd_jax.perf.records import Measurement, RecordFile, Scalar

UNIT = "pairs/s"


def run(settings: DistanceSettings, record: RecordFile, windows: TimedWindows) -> list[Measurement]:
    """Measure every combination on normal features, which lie on the device before the clock starts."""
    cases = []
    for operation, rows, width in product(settings.operations, settings.rows, settings.width):
        gallery = settings.gallery or rows
        sizes: dict[str, Scalar] = {"n": rows, "d": width, "metric": settings.metric}
        sizes |= {"m": gallery} if operation != "paired" else {}
        for k in settings.k if operation == "nearest_neighbors" else (0,):
            prepare = partial(_prepare, operation, rows, gallery, width, k, settings.metric)
            cases.append(Case(operation, sizes | ({"k": k} if k else {}), UNIT, prepare))
    return run_cases(cases, record, windows)


def _prepare(operation: Operation, rows: int, gallery: int, width: int, k: int, metric: str) -> Ready:
    if k > gallery:
        raise InputError(f"-k {k}: more than the gallery's {gallery} rows; choose a smaller one or a larger --gallery")
    x_nd, y_md = _features(rows, width, 0), _features(rows if operation == "paired" else gallery, width, 1)
    # By convention only the matrix product counts; selection and re-ranking take time without adding to it.
    pairs, flop = rows * gallery, 2 * rows * gallery * width
    call: Callable[[], Any]
    match operation:
        case "paired":
            call = partial(paired_distance, x_nd, y_md, metric)
            pairs, flop = rows, 3 * rows * width  # a difference, a square and a sum of each element
        case "pairwise":
            call = partial(pairwise_distance, x_nd, y_md, metric)
        case "nearest_neighbors":
            call = partial(nearest_neighbors, x_nd, y_md, k, metric)
    return Ready(call, pairs, lambda timing: {"ms": 1e3 * timing.median_s, "gflop_per_s": flop / timing.median_s / 1e9})


@cache
def _features(rows: int, width: int, seed: int) -> jax.Array:
    random = np.random.default_rng(seed)
    feature_nd: jax.Array = jax.device_put(random.standard_normal((rows, width), dtype=np.float32))
    return feature_nd
