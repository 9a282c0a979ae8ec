"""Calibration of probabilities: expected calibration error, reliability, and proper scores.

A probability is calibrated if, among all examples with the probability p, the event comes true in the share p. The
expected calibration error sorts examples into bins and is the mean gap, over the examples, between the mean probability
of a bin and the share of its events (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599, equation 3). Bins are
closed on the right, and the first holds 0, as in Guo et al.
"""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Bool, Float64, Int64, Real, Shaped

from mtsccd_jax.ops.calls import check_at_least_one, class_vector, finite_floats, flags

# Probabilities are brought into [CLIP, 1 - CLIP] for the log loss, which a single wrong certainty would make infinite.
CLIP = 1e-6

_OUTCOMES = "outcomes are 0 and 1"


class Reliability(NamedTuple):
    """What came of the forecasts of each bin; means are NaN in a bin without examples."""

    count_k: Int64[np.ndarray, " k"]
    probability_k: Float64[np.ndarray, " k"]  # mean forecast
    share_k: Float64[np.ndarray, " k"]  # share of events
    low_k: Float64[np.ndarray, " k"]  # ends of the share's 95 % interval (Wilson 1927)
    high_k: Float64[np.ndarray, " k"]


def equal_width_bins(probability_n: Real[ArrayLike, " n"], bins: int = 15) -> Int64[np.ndarray, " n"]:
    """Return the bin of each probability, 0 to bins - 1, of bins that are equally wide.

    Raises:
        ValueError: no bin, no example, a probability outside [0, 1].
    """
    check_at_least_one(bins=bins)
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    return np.searchsorted(inner, _probabilities(probability_n), side="left").astype(np.int64)


def equal_mass_bins(probability_n: Real[ArrayLike, " n"], bins: int = 15) -> Int64[np.ndarray, " n"]:
    """Return the bin of each probability, 0 to bins - 1, of bins that hold equally many examples as far as they can.

    Examples are sorted and cut into bins by rank. Equal probabilities share the bin of their middle rank, so that the
    order of the examples does not matter; some bins may hold none.

    Raises:
        ValueError: as `equal_width_bins`.
    """
    check_at_least_one(bins=bins)
    probability = _probabilities(probability_n)
    ordered = np.sort(probability)
    first_n, end_n = (np.searchsorted(ordered, probability, side) for side in ("left", "right"))
    return (bins * (first_n + end_n - 1) // (2 * len(ordered))).astype(np.int64)


def calibration_error(
    probability_n: Real[ArrayLike, " n"],
    outcome_n: Shaped[ArrayLike, " n"],
    bin_n: Int64[np.ndarray, " n"],
    weight_rn: Float64[np.ndarray, "r n"] | None = None,
) -> Float64[np.ndarray, " r"]:
    """Return the expected calibration error of each resample, in [0, 1]; of the examples as they are without weights.

    In a resample the bins stay those of the examples, so that equal-mass bins need not be drawn again.

    Raises:
        ValueError: no example, unequal lengths, a probability outside [0, 1], outcomes other than 0 and 1.
    """
    gap = _probabilities(probability_n) - _outcomes(outcome_n, probability_n)
    weight = np.ones((1, len(gap))) if weight_rn is None else weight_rn
    error_r: np.ndarray = np.abs(weight @ (gap[:, None] * _one_hot(bin_n))).sum(1) / weight.sum(1)
    return error_r


def perfect_calibration_errors(
    probability_n: Real[ArrayLike, " n"], bin_n: Int64[np.ndarray, " n"], resamples: int, seed: int
) -> Float64[np.ndarray, " r"]:
    """Return the calibration errors that a perfect forecaster of these probabilities would show, by chance alone.

    Each draws every outcome with its own probability (consistency resampling, Broecker and Smith 2007). An error that
    is no larger than these does not speak against the forecaster.

    Raises:
        ValueError: as `equal_width_bins`, or no resample.
    """
    check_at_least_one(resamples=resamples)
    probability, one_hot, random = _probabilities(probability_n), _one_hot(bin_n), np.random.default_rng([seed, 2])
    return np.array(
        [
            np.abs((probability - (random.random(len(probability)) < probability)) @ one_hot).sum() / len(probability)
            for _ in range(resamples)
        ]
    )


def reliability(
    probability_n: Real[ArrayLike, " n"], outcome_n: Shaped[ArrayLike, " n"], bin_n: Int64[np.ndarray, " n"], bins: int
) -> Reliability:
    """Return the number of examples, the mean probability and the share of events of each of `bins` bins.

    Raises:
        ValueError: as `calibration_error`.
    """
    probability, outcome = _probabilities(probability_n), _outcomes(outcome_n, probability_n)
    count = np.bincount(bin_n, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, as promised
        mean, share = (np.bincount(bin_n, of, minlength=bins) / count for of in (probability, outcome))
    return Reliability(count, mean, share, *wilson_interval(share, count))


def wilson_interval(
    share_k: Float64[np.ndarray, " k"], count_k: Int64[np.ndarray, " k"]
) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
    """Return the ends of the 95 % interval of shares of so many examples (Wilson 1927); NaN of no examples."""
    z = 1.959963984540054
    n = np.where(count_k > 0, count_k, np.nan)
    centre, half = (share_k + z * z / (2 * n)), z * np.sqrt(share_k * (1 - share_k) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def brier_losses(
    probability_nk: Real[np.ndarray, "n k"], label_n: Shaped[ArrayLike, " n"]
) -> Float64[np.ndarray, " n"]:
    """Return the Brier loss of each example: the sum over the classes of squared differences from the truth.

    In [0, 2]. With two classes it is half of that, (p - y) squared in [0, 1], as is usual and as in scikit-learn.

    Raises:
        ValueError: no example, a label outside the classes.
    """
    k = probability_nk.shape[1]
    label = class_vector("label_n", label_n, k)
    loss_n: np.ndarray = ((np.asarray(probability_nk, np.float64) - np.eye(k)[label]) ** 2).sum(1)
    return loss_n / 2 if k == 2 else loss_n


def log_losses(probability_nk: Real[np.ndarray, "n k"], label_n: Shaped[ArrayLike, " n"]) -> Float64[np.ndarray, " n"]:
    """Return the log loss of each example, in nats, of the true class's probability clipped to [CLIP, 1 - CLIP].

    Raises:
        ValueError: no example, a label outside the classes.
    """
    label = class_vector("label_n", label_n, probability_nk.shape[1])
    true_n = np.asarray(probability_nk, np.float64)[np.arange(len(label)), label]
    loss_n: np.ndarray = -np.log(np.clip(true_n, CLIP, 1 - CLIP))
    return loss_n


def _probabilities(value_n: ArrayLike) -> np.ndarray:
    given = finite_floats("probability_n", value_n, "probabilities").astype(np.float64)
    if given.ndim != 1 or not given.size:
        raise ValueError(f"probability_n must be a vector of at least one example, got shape {given.shape}")
    if given.min() < 0 or given.max() > 1:
        raise ValueError(f"probabilities lie in [0, 1], got {given.min():g} to {given.max():g}")
    return given


def _outcomes(value_n: ArrayLike, probability_n: ArrayLike) -> np.ndarray:
    outcome: Bool[np.ndarray, " n"] = flags("outcome_n", value_n, _OUTCOMES)
    if outcome.shape != np.shape(probability_n):
        raise ValueError(f"outcomes and probabilities must be of one length, got {outcome.shape}")
    return outcome.astype(np.float64)


def _one_hot(bin_n: np.ndarray) -> np.ndarray:
    one_hot_nk: np.ndarray = np.eye(int(bin_n.max()) + 1)[bin_n]
    return one_hot_nk
