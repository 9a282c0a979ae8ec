"""Distances between features, and nearest neighbours: pairs/s and GFLOP/s."""

from collections.abc import Callable
from functools import cache, partial
from itertools import product

import jax
import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.distance import nearest_neighbors, paired_distance, pairwise_distance
from mtsccd_jax.perf.bench.rows import Case, Ready, run_cases
from mtsccd_jax.perf.bench.settings import DistanceSettings, TimedWindows
from mtsccd_jax.perf.records import Measurement, RecordFile, Scalar
from mtsccd_jax.perf.timing import Timing

UNIT = "pairs/s"


def run(settings: DistanceSettings, record: RecordFile, windows: TimedWindows) -> list[Measurement]:
    """Measure every combination on normal features, which lie on the device before the clock starts."""
    cases = []
    for operation, rows, width in product(settings.operations, settings.rows, settings.width):
        sizes: dict[str, Scalar] = {"n": rows, "d": width, "metric": settings.metric}
        if operation == "paired":
            cases.append(Case(operation, sizes, UNIT, partial(_paired, rows, width, settings.metric)))
            continue
        gallery = settings.gallery or rows
        sizes |= {"m": gallery}
        if operation == "pairwise":
            cases.append(Case(operation, sizes, UNIT, partial(_pairwise, rows, gallery, width, settings.metric)))
            continue
        for k in settings.k:
            prepare = partial(_nearest, rows, gallery, width, k, settings.metric)
            cases.append(Case(operation, sizes | {"k": k}, UNIT, prepare))
    return run_cases(cases, record, windows)


def _paired(rows: int, width: int, metric: str) -> Ready:
    x_nd, y_nd = _features(rows, width, 0), _features(rows, width, 1)
    # A difference, a square and a sum of each element.
    return _ready(lambda: paired_distance(x_nd, y_nd, metric), rows, 3 * rows * width)


def _pairwise(rows: int, gallery: int, width: int, metric: str) -> Ready:
    x_nd, y_md = _features(rows, width, 0), _features(gallery, width, 1)
    return _ready(lambda: pairwise_distance(x_nd, y_md, metric), rows * gallery, 2 * rows * gallery * width)


def _nearest(rows: int, gallery: int, width: int, k: int, metric: str) -> Ready:
    if k > gallery:
        raise InputError(f"-k {k}: more than the gallery's {gallery} rows; choose a smaller one or a larger --gallery")
    x_nd, y_md = _features(rows, width, 0), _features(gallery, width, 1)
    # By convention only the matrix product counts; selection and re-ranking take time without adding to it.
    flop = 2 * rows * gallery * width
    return _ready(lambda: nearest_neighbors(x_nd, y_md, k, metric), rows * gallery, flop)


def _ready(call: Callable[[], object], pairs: int, flop: int) -> Ready:
    def details(timing: Timing) -> dict[str, float]:
        return {"ms": 1e3 * timing.median_s, "gflop_per_s": flop / timing.median_s / 1e9}

    return Ready(call, pairs, details)


@cache
def _features(rows: int, width: int, seed: int) -> jax.Array:
    random = np.random.default_rng(seed)
    feature_nd: jax.Array = jax.device_put(random.standard_normal((rows, width), dtype=np.float32))
    return feature_nd
