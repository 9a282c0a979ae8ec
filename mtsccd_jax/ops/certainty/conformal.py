"""Split conformal prediction: sets of classes that hold the true one in at least a chosen share of the cases.

A nonconformity score says how ill a class fits an example. The scores of the true classes of n calibration examples
have a quantile; the set of a new example holds every class whose score does not exceed it. If the new example is
exchangeable with the calibration examples, the set holds the truth with probability `coverage` at least, and at most
1 / (n + 1) more where scores do not tie (Vovk et al. 2005; Lei et al. 2018). Where it is not, as in another city,
nothing is promised.
"""

import math

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Bool, Float64, Real, Shaped

from mtsccd_jax.ops.calls import check_at_least_one, class_vector, finite_floats


def conformal_quantile(score_n: Real[ArrayLike, " n"], coverage: float) -> float:
    """Return the ceil((n + 1) coverage)-th smallest score; infinity where that is more than n, or n is 0.

    Raises:
        ValueError: a coverage outside (0, 1], scores that are not finite.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must be above 0 and at most 1, got {coverage}")
    score = np.sort(finite_floats("score_n", score_n, "scores"))
    rank = math.ceil(round((len(score) + 1) * coverage, 9))  # 0.28 x 100 is a little more than 28 in floating point
    return float(score[rank - 1]) if rank <= len(score) else math.inf


def class_quantiles(
    score_n: Real[ArrayLike, " n"], label_n: Shaped[ArrayLike, " n"], classes: int, coverage: float
) -> Float64[np.ndarray, " k"]:
    """Return the conformal quantile of each class from the examples of that class alone (Mondrian, Vovk et al. 2005).

    The coverage then holds within each class, however rare it is; infinity for a class of too few examples.

    Raises:
        ValueError: as `conformal_quantile`, no example, no class, unequal lengths, a label outside the classes.
    """
    check_at_least_one(classes=classes)
    label, score = class_vector("label_n", label_n, classes), np.asarray(score_n)
    if score.shape != label.shape:
        raise ValueError(f"score_n and label_n must be of one length, got {score.shape} and {label.shape}")
    return np.array([conformal_quantile(score[label == k], coverage) for k in range(classes)])


def prediction_sets(
    score_nk: Real[ArrayLike, "n k"], quantile_k: Real[ArrayLike, " k"] | float
) -> Bool[np.ndarray, "n k"]:
    """Return which classes are in the set of each example: those whose score does not exceed their quantile."""
    within: np.ndarray = np.asarray(score_nk) <= np.asarray(quantile_k)
    return within
