"""Bootstrap uncertainty of metrics and of chosen thresholds; seeded, and the same on every machine.

At a fixed threshold (or for a fixed classifier) a bootstrap need not touch the examples. Every metric here is a
function of the confusion counts alone, and drawing n examples with replacement makes those counts multinomial, with n
trials and the observed shares as probabilities: the same distribution, not an approximation of it. A resample costs one
draw over the cells, whatever n is.

A threshold that is chosen anew in every resample does depend on the examples; `redraws` says on how little of them.

Undefined figures of a resample (kappa where one class is drawn alone, say) count as 0.0, as everywhere in `ops`.
"""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from mtsccd_jax.ops.metrics import BINARY_METRICS, binary_metrics, scene_metrics
from mtsccd_jax.ops.threshold import check_objective, check_pairs, sort_descending
from mtsccd_jax.ops.threshold_bootstrap import best_redrawn_cuts, make_cells

Intervals = dict[str, tuple[float, float]]


class BootstrapThresholds(NamedTuple):
    """The threshold chosen in each resample, with the resample's own counts.

    Attributes:
        threshold_r: float64; infinity where "nothing changed" was best.
        confusion_r4: int64 (tn, fp, fn, tp) of each resample at its threshold.
    """

    threshold_r: np.ndarray
    confusion_r4: np.ndarray


def bootstrap_confusions(confusion: ArrayLike, resamples: int, seed: int) -> np.ndarray:
    """Confusion counts of `resamples` bootstrap samples, int64 of shape (resamples, *confusion.shape).

    Raises:
        ValueError: no resample, no example, counts that are negative or no integers.
    """
    counts = _check_counts(confusion, resamples)
    draws = np.random.default_rng(seed).multinomial(int(counts.sum()), _shares(counts), size=resamples)
    return draws.reshape(resamples, *counts.shape)


def bootstrap_interval(confusion: ArrayLike, *, resamples: int = 1000, seed: int = 0, level: float = 0.95) -> Intervals:
    """`{metric: (low, high)}`: percentile intervals over resampled examples, 95 % unless told.

    Args:
        confusion: (tn, fp, fn, tp) of change detection at a fixed threshold, or a (k, k) scene confusion.
        resamples: bootstrap samples, at least 1.
        seed: of NumPy's default generator.
        level: coverage in (0, 1).

    Raises:
        ValueError: as `bootstrap_confusions`, a confusion of another shape, a level outside (0, 1).
    """
    counts = _check_counts(confusion, resamples)
    if counts.shape != (4,) and (counts.ndim != 2 or counts.shape[0] != counts.shape[1]):
        raise ValueError(f"confusion must be (tn, fp, fn, tp) or (k, k), got shape {counts.shape}")
    figures = binary_metrics if counts.shape == (4,) else scene_metrics
    return _percentiles([figures(draw) for draw in bootstrap_confusions(counts, resamples, seed)], level)


def bootstrap_thresholds(
    distance_n: ArrayLike, changed_n: ArrayLike, resamples: int = 1000, seed: int = 0, objective: str = "kappa"
) -> BootstrapThresholds:
    """The best threshold of each of `resamples` re-drawn sets of pairs, by the rules of `best_threshold`.

    Raises:
        ValueError: as `best_threshold`, or no resample.
    """
    check_objective(objective)
    distance, changed = check_pairs(distance_n, changed_n)
    _check_resamples(resamples)
    cells = make_cells(*sort_descending(distance, changed))
    position, tp, fp, positives = best_redrawn_cuts(cells, resamples, seed, objective)
    threshold = np.append(cells.value_j.astype(np.float64), np.inf)[position]  # position -1: none
    negatives = len(distance) - positives
    return BootstrapThresholds(threshold, np.stack([negatives - fp, fp, positives - tp, tp], 1).astype(np.int64))


def rechosen_threshold_interval(
    validation_distance: ArrayLike,
    validation_changed: ArrayLike,
    test_distance: ArrayLike,
    test_changed: ArrayLike,
    objective: str = "kappa",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Intervals:
    """`{metric: (low, high)}` on test pairs when the threshold, too, is uncertain.

    Every resample re-draws the validation pairs, chooses its threshold on them, and is measured on re-drawn test pairs.
    The interval therefore holds both sources of chance; `bootstrap_interval` holds the second one alone.

    Raises:
        ValueError: as `best_threshold` on either set, no resample, a level outside (0, 1).
    """
    threshold_r = bootstrap_thresholds(validation_distance, validation_changed, resamples, seed, objective).threshold_r
    distance, changed = check_pairs(test_distance, test_changed)
    positive, negative = np.sort(distance[changed]), np.sort(distance[~changed])
    fn, tn = (np.searchsorted(part, threshold_r, side="left") for part in (positive, negative))  # distance < threshold
    confusion_r4 = np.stack([tn, len(negative) - tn, fn, len(positive) - fn], 1)
    # Given its threshold, a resample of the test pairs is one multinomial draw over the four cells.
    random = np.random.default_rng([seed, 1])
    draws = random.multinomial(len(distance), confusion_r4 / len(distance))
    return _percentiles([binary_metrics(draw) for draw in draws], level)


def _percentiles(figures: list[dict[str, float]], level: float) -> Intervals:
    if not 0 < level < 1:
        raise ValueError(f"level is a coverage between 0 and 1, got {level}")
    share = [(1 - level) / 2, (1 + level) / 2]
    intervals = {}
    for metric in BINARY_METRICS:
        low, high = np.quantile([figure[metric] for figure in figures], share)
        intervals[metric] = (float(low), float(high))
    return intervals


def _check_counts(confusion: ArrayLike, resamples: int) -> np.ndarray:
    _check_resamples(resamples)
    counts = np.asarray(confusion)
    if not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise ValueError("a confusion holds non-negative integer counts")
    if counts.sum() == 0:
        raise ValueError("the confusion is empty: there is no example to re-draw")
    return counts


def _check_resamples(resamples: int) -> None:
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts.ravel() / counts.sum()
