"""Risk against coverage: how often the answers are wrong that a forecaster gives when it abstains where it is unsure.

Examples are answered in the order of their confidence, the largest first. The risk at a coverage is the share of wrong
ones among those answered (Geifman and El-Yaniv 2017, arXiv:1705.08500). Examples of equal confidence have no order
among themselves: each counts for the mean of its group, the expectation over all orders.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Real, Shaped

from mtsccd_jax.ops.calls import finite_floats, flags


class RiskCoverage(NamedTuple):
    """The risk among the most confident examples, at each distinct confidence, the highest first."""

    confidence_m: Float64[np.ndarray, " m"]
    coverage_m: Float64[np.ndarray, " m"]  # share of the examples that are at least as confident
    risk_m: Float64[np.ndarray, " m"]  # share of wrong ones among these


def risk_coverage(confidence_n: Real[np.ndarray, " n"], wrong_n: Shaped[np.ndarray, " n"]) -> RiskCoverage:
    """Return the risk at every coverage that a bound on the confidence can give.

    Raises:
        ValueError: no example, unequal lengths, values that are not finite, or not 0 and 1.
    """
    order, start, wrong = _groups(confidence_n, wrong_n)
    end = np.append(start[1:], len(order))
    confidence = np.asarray(confidence_n, np.float64)[order][start]
    return RiskCoverage(confidence, end / len(order), np.cumsum(np.add.reduceat(wrong[order], start)) / end)


def area_under_risk_coverage(
    confidence_n: Real[np.ndarray, " n"],
    wrong_n: Shaped[np.ndarray, " n"],
    weight_rn: Float64[np.ndarray, "r n"] | None = None,
) -> Float64[np.ndarray, " r"]:
    """Return the mean risk over the coverages 1/n, 2/n, ..., 1 (AURC, in [0, 1]; low is good) of each resample.

    Within a group of equal confidence the k-th answer is expected to be wrong at the group's rate e. After C answers
    with W wrong ones, the risk at C + j is (W + j e) / (C + j), and its sum over j needs harmonic numbers alone.

    Raises:
        ValueError: as `risk_coverage`.
    """
    order, start, wrong = _groups(confidence_n, wrong_n)
    weight = np.ones((1, len(order))) if weight_rn is None else weight_rn[:, order]
    count_rg = np.add.reduceat(weight, start, axis=1)
    wrong_rg = np.add.reduceat(weight * wrong[order], start, axis=1)
    after_rg = np.cumsum(count_rg, 1)
    rate_rg = np.divide(wrong_rg, count_rg, out=np.zeros_like(wrong_rg), where=count_rg > 0)
    before_rg = after_rg - count_rg
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, len(order) + 1))])
    between_rg = harmonic[after_rg.astype(np.int64)] - harmonic[before_rg.astype(np.int64)]
    offset_rg = np.cumsum(wrong_rg, 1) - wrong_rg - before_rg * rate_rg
    area_r: np.ndarray = (wrong_rg + offset_rg * between_rg).sum(1) / len(order)
    return area_r


def _groups(confidence_n: np.ndarray, wrong_n: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the examples by falling confidence, where each group of equal confidence begins, and which are wrong."""
    confidence = finite_floats("confidence_n", confidence_n, "confidences").astype(np.float64)
    wrong = flags("wrong_n", wrong_n, "an answer is wrong (1) or not (0)").astype(np.float64)
    if confidence.ndim != 1 or not confidence.size or confidence.shape != wrong.shape:
        raise ValueError(
            f"confidence_n and wrong_n must be vectors of one length, at least one example; got {confidence.shape} and "
            f"{wrong.shape}"
        )
    order = np.argsort(-confidence, kind="stable")
    begins = np.flatnonzero(np.diff(confidence[order], prepend=np.inf))
    return order, begins, wrong
