"""Bootstrap weights and intervals beside SciPy's bootstrap."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from mtsccd_jax.ops.certainty import resampling
from mtsccd_jax.ops.certainty.resampling import (
    bootstrap_weights,
    defined_interval,
    error_interval,
    resampled,
    weighted_means,
)

VALUE = np.random.default_rng(3).gamma(2, size=120)


def test_a_resample_draws_as_many_examples(monkeypatch):
    whole = np.concatenate(list(bootstrap_weights(50, 40, 7)))
    monkeypatch.setattr(resampling, "_WEIGHTS_AT_ONCE", 50 * 7)
    parts = list(bootstrap_weights(50, 40, 7))
    assert [len(part) for part in parts] == [7, 7, 7, 7, 7, 5]
    np.testing.assert_array_equal(np.concatenate(parts), whole, "memory is bounded, results are not touched")
    assert (whole.sum(1) == 50).all()
    assert abs(whole.mean(0) - 1).max() < 0.6


def test_the_interval_of_a_mean_is_that_of_scipy():
    everywhere = np.ones((len(VALUE), 1))

    def mean(weight_rn):
        return {"mean": weighted_means(VALUE[:, None], everywhere, weight_rn)[:, 0]}

    drawn = resampled(mean, len(VALUE), 4000, 0)["mean"]
    expected = bootstrap((VALUE,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1))
    np.testing.assert_allclose(defined_interval(drawn), expected.confidence_interval, atol=0.03)


def test_a_share_of_no_example_is_not_defined():
    weight = np.array([[1.0, 1, 0], [0, 0, 3]])
    mean, of_all = weighted_means(np.array([[1.0, 1], [3, 3], [8, 8]]), np.array([[1, 1], [1, 1], [0, 1]]), weight).T
    assert of_all.tolist() == [2, 8]
    assert mean[0] == 2
    assert np.isnan(mean[1])
    assert defined_interval(mean) == (2, 2)
    assert defined_interval(mean[1:]) is None


def test_the_interval_of_an_error_is_about_its_value():
    drawn, none = np.array([0.03, 0.04, 0.05]), np.zeros(3)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert error_interval(0.045, drawn, none) == pytest.approx((0.09 - high, 0.09 - low)), "turned around the value"
    assert error_interval(0.01, drawn, none) == (0.0, 0.01), "not negative, and with the value in it"
    assert error_interval(0.045, drawn, np.array([0.01, 0.03, 0.06]))[0] == 0, "chance may explain it"
    assert error_interval(0.0, none, none) == (0, 0)


def test_no_example_and_no_resample_are_refused():
    for n, resamples in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="must be at least 1"):
            next(bootstrap_weights(n, resamples, 0))
