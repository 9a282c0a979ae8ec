"""McNemar's test and the paired bootstrap, against sums over the binomial and plain resampling of examples."""

from math import comb

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score

from mtsccd_jax.ops import paired_tests
from mtsccd_jax.ops.metrics import BINARY_METRICS


def _methods(n: int, seed: int, classes: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make a truth, a good method, and one that repeats most of its errors and adds some."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, n)
    good = np.where(random.random(n) < 0.8, truth, random.integers(0, classes, n))
    worse = np.where(random.random(n) < 0.85, good, random.integers(0, classes, n))
    return truth, good, worse


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (0, 6), (7, 2), (5, 5), (30, 11)])
def test_mcnemar_is_the_sum_of_all_outcomes_that_are_no_likelier(only_a, only_b):
    a = np.repeat([True, False, True, False], [only_a, only_b, 9, 4])
    b = np.repeat([False, True, True, False], [only_a, only_b, 9, 4])
    n = only_a + only_b
    likelihood = [comb(n, hits) for hits in range(n + 1)]
    expected = sum(value for value in likelihood if value <= likelihood[only_a]) / 2**n
    test = paired_tests.mcnemar(a, b)
    assert test[:2] == (only_a, only_b)
    assert test.p_value == pytest.approx(expected, abs=1e-12)
    assert paired_tests.mcnemar(b.astype(int), a.astype(int)) == (only_b, only_a, test.p_value)


def test_difference_equals_that_of_resampled_examples():
    truth, a, b = _methods(300, 0)
    found = paired_tests.paired_difference(truth, a, b, resamples=4000, seed=1)
    rows = np.random.default_rng(2).integers(0, 300, (1000, 300))
    plain = [cohen_kappa_score(truth[row], a[row]) - cohen_kappa_score(truth[row], b[row]) for row in rows]
    np.testing.assert_allclose(found[1:], np.quantile(plain, [0.025, 0.975]), atol=0.015)
    assert found.value == pytest.approx(cohen_kappa_score(truth, a) - cohen_kappa_score(truth, b), abs=1e-12)
    assert found.low < found.value < found.high


def test_difference_between_scene_classifiers():
    truth, a, b = _methods(400, 3, classes=5)
    found = paired_tests.paired_difference(truth, a, b, 5, "f1", resamples=200)
    figures = [f1_score(truth, method, average="macro") for method in (a, b)]
    assert found.value == pytest.approx(figures[0] - figures[1], abs=1e-12)
    assert found.low < found.value < found.high


def test_pairing_narrows_the_interval():
    truth, a, b = _methods(300, 4)
    paired = paired_tests.paired_difference(truth, a, b, resamples=400)
    apart = paired_tests.paired_difference(truth, a, np.random.default_rng(0).permutation(b), resamples=400)
    assert paired.high - paired.low < 0.8 * (apart.high - apart.low)


@pytest.mark.parametrize("metric", BINARY_METRICS)
def test_exchanging_the_methods_changes_the_sign_alone(metric):
    truth, a, b = _methods(80, 5)
    value, low, high = paired_tests.paired_difference(truth, a, b, metric=metric, resamples=100)
    assert paired_tests.paired_difference(truth, b, a, metric=metric, resamples=100) == pytest.approx(
        (-value, -high, -low), abs=1e-12
    )


def test_difference_depends_on_the_seed_and_narrows_with_the_level():
    truth, a, b = _methods(200, 7)
    first = paired_tests.paired_difference(truth, a, b, resamples=200)
    assert first == paired_tests.paired_difference(truth == 1, a == 1, b == 1, resamples=200)
    assert first[1:] != paired_tests.paired_difference(truth, a, b, resamples=200, seed=1)[1:]
    narrow = paired_tests.paired_difference(truth, a, b, resamples=200, level=0.5)
    assert first.low < narrow.low < narrow.high < first.high


def test_one_method_and_one_example():
    truth, a, _ = _methods(50, 6)
    assert paired_tests.paired_difference(truth, a, a, resamples=20) == (0, 0, 0)
    assert paired_tests.mcnemar([True], [False]) == (1, 0, 1.0)
    assert paired_tests.paired_difference([1], [1], [0], metric="oa", resamples=5) == (1, 1, 1)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: paired_tests.mcnemar([], []), "correct_a_n must be a vector of at least one example"),
        (lambda: paired_tests.mcnemar([1, 0], [1]), "got lengths correct_a_n 2, correct_b_n 1"),
        (lambda: paired_tests.mcnemar([1, 2], [1, 0]), r"correct_a_n\[1\] is 2, outside 0 to 1"),
        (lambda: paired_tests.mcnemar([0.5], [1]), "correct_a_n must hold integers, got float64"),
        (lambda: paired_tests.paired_difference([0], [0], [2]), r"predicted_b_n\[0\] is 2, outside 0 to 1"),
        (lambda: paired_tests.paired_difference([0], [0], [0, 1]), "the examples must be the same"),
        (lambda: paired_tests.paired_difference([0], [0], [0], metric="map"), "unknown metric 'map', known are oa"),
        (lambda: paired_tests.paired_difference([0], [0], [0], resamples=0), "resamples must be at least 1, got 0"),
        (lambda: paired_tests.paired_difference([0], [0], [0], level=95), "level is a coverage between 0 and 1"),
        (lambda: paired_tests.paired_difference([0], [0], [0], classes=1), "classes must be at least 2, got 1"),
    ],
)
def test_bad_input_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()
