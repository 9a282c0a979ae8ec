"""Calibration errors, reliability and proper scores beside scikit-learn, SciPy and their definitions written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from mtsccd_jax.ops.certainty.calibration import (
    CLIP,
    brier_losses,
    calibration_error,
    equal_mass_bins,
    equal_width_bins,
    log_losses,
    perfect_calibration_errors,
    reliability,
)

RANDOM = np.random.default_rng(0)
P = RANDOM.random(400)
CAME = RANDOM.random(400) < P**2
PROBABILITIES = arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1))


def by_definition(p, came, bins):
    """The expected calibration error with bins ((m - 1) / M, m / M], example by example."""
    total = 0.0
    for m in range(bins):
        inside = [(q, y) for q, y in zip(p, came, strict=True) if m / bins < q <= (m + 1) / bins or (m == 0 and q == 0)]
        if inside:
            total += abs(sum(q for q, _ in inside) - sum(y for _, y in inside))
    return total / len(p)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_the_error_is_the_mean_gap_of_bins(bins):
    found = calibration_error(P, CAME, equal_width_bins(P, bins))
    assert found == pytest.approx(by_definition(P, CAME, bins), abs=1e-12)


def test_the_edge_belongs_to_the_lower_bin():
    assert equal_width_bins([0, 0.2, 0.2000001, 0.4, 1], 5).tolist() == [0, 0, 1, 1, 4]


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_the_diagram_is_that_of_scikit_learn(strategy):
    """Of 400 different probabilities no edge is one of them, but for quantiles, which scikit-learn interpolates."""
    bins = 10
    found = reliability(P, CAME, (equal_width_bins if strategy == "uniform" else equal_mass_bins)(P, bins), bins)
    share, mean = calibration_curve(CAME, P, n_bins=bins, strategy=strategy)
    atol = 1e-12 if strategy == "uniform" else 0.03
    np.testing.assert_allclose(found.probability_k, mean, atol=atol)
    np.testing.assert_allclose(found.share_k, share, atol=atol)
    ends = [
        binomtest(round(count * share), int(count)).proportion_ci(method="wilson")
        for count, share in zip(found.count_k, found.share_k, strict=True)
    ]
    np.testing.assert_allclose(np.stack([found.low_k, found.high_k], 1), ends, atol=1e-9)


def test_equally_full_bins_hold_equally_many():
    assert np.bincount(equal_mass_bins(P, 8)).tolist() == [50] * 8
    assert len(set(equal_mass_bins(np.repeat([0.1, 0.9], [95, 5]), 10))) == 2, "equal probabilities share a bin"


def test_a_bin_without_members_is_no_gap():
    found = reliability([0.1, 0.9], [0, 1], equal_width_bins([0.1, 0.9], 3), 3)
    assert found.count_k.tolist() == [1, 0, 1]
    assert np.isnan([found.probability_k[1], found.share_k[1], found.low_k[1], found.high_k[1]]).all()


@given(PROBABILITIES, st.integers(1, 20), st.data())
@settings(deadline=None, max_examples=60)
def test_laws_of_the_error(p, bins, data):
    came = data.draw(arrays(bool, len(p)))
    order = np.array(data.draw(st.permutations(range(len(p)))))
    sure = came.astype(float)
    for binned in (equal_width_bins, equal_mass_bins):
        error = calibration_error(p, came, binned(p, bins))
        assert 0 <= error[0] <= 1
        assert calibration_error(p[order], came[order], binned(p[order], bins)) == pytest.approx(error, abs=1e-12)
        assert calibration_error(sure, came, binned(sure, bins)) == 0, "a perfect forecaster"
        assert calibration_error(1 - sure, came, binned(1 - sure, bins + 1)) == 1, "one that is always wrong"
    assert error >= abs(p.mean() - came.mean()) - 1e-12, "bins only ever find more"


def test_weights_are_repeated_examples():
    weight = RANDOM.integers(0, 4, (3, len(P)))
    binned = equal_width_bins(P, 15)
    found = calibration_error(P, CAME, binned, weight.astype(float))
    repeated = [calibration_error(np.repeat(P, w), np.repeat(CAME, w), np.repeat(binned, w))[0] for w in weight]
    np.testing.assert_allclose(found, repeated, atol=1e-12)


def test_chance_alone_shows_an_error_that_a_perfect_forecaster_reaches():
    binned = equal_width_bins(P, 15)
    chance = perfect_calibration_errors(P, binned, 300, 0)
    drawn = [calibration_error(P, np.random.default_rng(i).random(400) < P, binned)[0] for i in range(300)]
    assert chance.mean() == pytest.approx(np.mean(drawn), rel=0.05)
    assert calibration_error(P, CAME, binned)[0] > np.quantile(chance, 0.999), "and one that is wrong does not"
    assert perfect_calibration_errors([0.0, 1.0], np.array([0, 1]), 5, 0).tolist() == [0] * 5


def test_proper_scores_are_those_of_scikit_learn():
    label = RANDOM.integers(0, 4, 200)
    p = RANDOM.dirichlet([1, 2, 1, 1], 200)
    assert brier_losses(p, label).mean() == pytest.approx(((p - np.eye(4)[label]) ** 2).sum(1).mean())
    two = np.stack([1 - P, P], 1)
    assert brier_losses(two, CAME).mean() == pytest.approx(brier_score_loss(CAME, P))
    assert log_losses(p, label).mean() == pytest.approx(log_loss(label, p))
    assert log_losses(np.array([[1.0, 0.0]]), [1])[0] == pytest.approx(-np.log(CLIP)), "clipped and finite"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: equal_width_bins([0.5, 1.5]), r"lie in \[0, 1\], got 0.5 to 1.5"),
        (lambda: equal_width_bins([]), "at least one example"),
        (lambda: equal_mass_bins([0.5], 0), "bins must be at least 1"),
        (lambda: equal_width_bins([np.nan]), "must be finite"),
        (lambda: calibration_error([0.5], [2], np.array([0])), "outcomes are 0 and 1"),
        (lambda: calibration_error([0.5], [1, 0], np.array([0])), "one length"),
        (lambda: brier_losses(np.ones((1, 2)) / 2, [2]), "outside 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
