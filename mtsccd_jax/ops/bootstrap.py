"""Bootstrap intervals of metrics and of chosen thresholds; seeded, and the same on every machine.

At a fixed threshold, or for a fixed classifier, a bootstrap need not touch the examples. Every metric here depends on
the confusion counts alone. Drawing n examples with replacement makes these counts multinomial, with n trials and the
observed shares as probabilities: this is the distribution of the resamples itself, not an approximation. A resample
costs one draw over the cells, whatever n is.

A threshold that is chosen again in every resample does depend on the examples; `threshold_bootstrap` draws only what
the choice depends on.

A metric that is undefined in a resample (kappa where only one class was drawn) counts as 0.0, as everywhere in `ops`.
"""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64, Int64, Integer, Real, Shaped

from mtsccd_jax.ops.calls import check_at_least_one, check_level
from mtsccd_jax.ops.metrics import BINARY_METRICS, metrics_of_many
from mtsccd_jax.ops.threshold import check_objective, check_pairs, sort_descending
from mtsccd_jax.ops.threshold_bootstrap import best_resampled_cuts, make_cells

Intervals = dict[str, tuple[float, float]]


class BootstrapThresholds(NamedTuple):
    """The threshold chosen in each resample, with the resample's own counts."""

    threshold_r: Float64[np.ndarray, " r"]  # infinity where it was best to predict no change
    confusion_r4: Int64[np.ndarray, "r 4"]  # tn, fp, fn, tp at that threshold


def bootstrap_confusions(confusion: Integer[ArrayLike, "..."], resamples: int, seed: int) -> Int64[np.ndarray, "r ..."]:
    """Return the confusion counts of `resamples` bootstrap resamples.

    Raises:
        ValueError: no resample, no example, counts that are negative or no integers.
    """
    check_at_least_one(resamples=resamples)
    counts = _check_counts(confusion)
    resampled = np.random.default_rng(seed).multinomial(counts.sum(), counts.ravel() / counts.sum(), size=resamples)
    return resampled.reshape(resamples, *counts.shape)


def bootstrap_interval(
    confusion: Integer[ArrayLike, " 4"] | Integer[ArrayLike, "k k"],
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Intervals:
    """Return `{metric: (low, high)}`: percentile intervals, which cover the share `level`, over resampled examples.

    The confusion is (tn, fp, fn, tp) of change detection at a fixed threshold, or that of scenes.

    Raises:
        ValueError: as `bootstrap_confusions`, a confusion of another shape, a level outside (0, 1).
    """
    check_level(level)
    counts = _check_counts(confusion)
    if counts.shape != (4,) and (counts.ndim != 2 or counts.shape[0] != counts.shape[1]):
        raise ValueError(f"confusion must be (tn, fp, fn, tp) or (k, k), got shape {counts.shape}")
    return _intervals(bootstrap_confusions(counts, resamples, seed), level)


def bootstrap_thresholds(
    distance_n: Real[ArrayLike, " n"],
    changed_n: Shaped[ArrayLike, " n"],
    resamples: int = 1000,
    seed: int = 0,
    objective: str = "kappa",
) -> BootstrapThresholds:
    """Return the best threshold of each of `resamples` resampled sets of pairs, by the rules of `best_threshold`.

    Raises:
        ValueError: as `best_threshold`, or no resample.
    """
    check_objective(objective)
    distance, changed = check_pairs(distance_n, changed_n)
    check_at_least_one(resamples=resamples)
    cells = make_cells(*sort_descending(distance, changed))
    position, tp, fp, positives = best_resampled_cuts(cells, resamples, seed, objective)
    threshold = np.append(cells.value_i.astype(np.float64), np.inf)[position]  # position -1: none
    negatives = len(distance) - positives
    return BootstrapThresholds(threshold, np.stack([negatives - fp, fp, positives - tp, tp], 1).astype(np.int64))


def rechosen_threshold_interval(
    validation_distance: Real[ArrayLike, " v"],
    validation_changed: Shaped[ArrayLike, " v"],
    test_distance: Real[ArrayLike, " n"],
    test_changed: Shaped[ArrayLike, " n"],
    objective: str = "kappa",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Intervals:
    """Return `{metric: (low, high)}` on test pairs, when the choice of the threshold is uncertain too.

    Every resample chooses its threshold on resampled validation pairs and measures it on resampled test pairs. So the
    interval covers both sources of chance; that of `bootstrap_interval` covers the second one alone.

    Raises:
        ValueError: as `best_threshold` on either set, no resample, a level outside (0, 1).
    """
    check_level(level)
    threshold_r = bootstrap_thresholds(validation_distance, validation_changed, resamples, seed, objective).threshold_r
    distance, changed = check_pairs(test_distance, test_changed)
    positive, negative = np.sort(distance[changed]), np.sort(distance[~changed])
    fn, tn = (np.searchsorted(part, threshold_r, side="left") for part in (positive, negative))  # distance < threshold
    confusion_r4 = np.stack([tn, len(negative) - tn, fn, len(positive) - fn], 1)
    # Given its threshold, a resample of the test pairs is one multinomial draw over the four cells.
    random = np.random.default_rng([seed, 1])
    resampled_r4 = random.multinomial(len(distance), confusion_r4 / len(distance))
    return _intervals(resampled_r4, level)


def percentile_interval(value_r: Real[np.ndarray, " r"], level: float) -> tuple[float, float]:
    """Return `(low, high)`, the ends of the central interval that holds the share `level` of the values."""
    low, high = np.quantile(value_r, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _intervals(confusion_r: np.ndarray, level: float) -> Intervals:
    """Return the intervals of the metrics of resampled confusions, each (4,) or (k, k)."""
    binary = confusion_r.ndim == 2
    values = metrics_of_many(confusion_r.reshape(-1, 2, 2) if binary else confusion_r, binary=binary)
    return {metric: percentile_interval(values[metric], level) for metric in BINARY_METRICS}


def _check_counts(confusion: ArrayLike) -> np.ndarray:
    counts = np.asarray(confusion)
    if not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise ValueError("a confusion holds non-negative integer counts")
    if counts.sum() == 0:
        raise ValueError("the confusion is empty: there is no example to draw from")
    return counts
