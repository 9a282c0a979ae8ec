"""Maps to probabilities beside scikit-learn's own predictions and a search for the best sigmoid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize
from scipy.special import expit, log_softmax
from sklearn.isotonic import IsotonicRegression

from mtsccd_jax.tasks.certainty.maps import (
    fit_isotonic,
    fit_platt,
    fit_temperature,
    map_arrays,
    map_of,
    softmax,
)

RANDOM = np.random.default_rng(0)
CHANGED = RANDOM.random(300) < 0.3
DISTANCE = (RANDOM.gamma(4, 0.1, 300) + 0.3 * CHANGED).astype(np.float32)
NEW = np.linspace(-0.5, 3, 500)


def test_isotonic_is_that_of_scikit_learn():
    expected = IsotonicRegression(out_of_bounds="clip").fit(DISTANCE.astype(float), CHANGED).predict(NEW)
    np.testing.assert_allclose(fit_isotonic(DISTANCE, CHANGED)(NEW), expected, atol=1e-12)


def test_platt_is_the_sigmoid_of_least_smoothed_log_loss():
    positive, negative = CHANGED.sum(), (~CHANGED).sum()
    target = np.where(CHANGED, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(ab):
        p = expit(ab[0] * DISTANCE + ab[1])
        return -(target * np.log(p) + (1 - target) * np.log1p(-p)).sum()

    best = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000})
    np.testing.assert_allclose(fit_platt(DISTANCE, CHANGED)(NEW), expit(best.x[0] * NEW + best.x[1]), atol=1e-5)


@pytest.mark.parametrize("fit", [fit_isotonic, fit_platt])
def test_constant_distances_give_the_share_of_changes(fit):
    changed = np.repeat([True, False], [3, 9])
    expected = 0.25 if fit is fit_isotonic else (3 * 4 / 5 + 9 / 11) / 12
    np.testing.assert_allclose(fit(np.full(12, 0.5), changed)(NEW), expected, atol=1e-6)


def test_distances_that_tell_everything_give_no_step():
    p = fit_platt(np.arange(20.0), np.arange(20) >= 10)(np.arange(20.0))
    assert (p > 0.001).all()
    assert (p < 0.999).all()
    assert (np.diff(p) > 0).all()


@given(arrays(np.float64, 20, elements=st.floats(-5, 5, width=32)), arrays(bool, 20))
@settings(deadline=None, max_examples=40)
def test_isotonic_never_falls_and_stays_a_probability(distance, changed):
    p = fit_isotonic(distance, changed)(np.linspace(-6, 6, 100))
    assert (np.diff(p) >= 0).all()
    assert (p >= 0).all()
    assert (p <= 1).all()


@pytest.mark.parametrize("fit", [fit_isotonic, fit_platt])
def test_a_map_is_saved_as_arrays(fit):
    fitted = fit(DISTANCE, CHANGED)
    np.testing.assert_array_equal(map_of(map_arrays(fitted))(NEW), fitted(NEW))


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_the_temperature_is_found_again(true):
    logits = RANDOM.normal(0, 2, (20_000, 5))
    label = (logits / true + RANDOM.gumbel(size=logits.shape)).argmax(1)  # drawn with these probabilities
    found = fit_temperature(logits, label)
    assert found == pytest.approx(true, rel=0.05)
    loss = [-log_softmax(logits / t, axis=1)[np.arange(20_000), label].mean() for t in found * np.array([0.9, 1, 1.1])]
    assert min(loss) == loss[1]
    np.testing.assert_array_equal(softmax(logits, found).argmax(1), logits.argmax(1))
