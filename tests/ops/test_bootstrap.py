"""The bootstrap against plain resampling of examples, and its determinism."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from mtsccd_jax.ops import bootstrap, threshold
from mtsccd_jax.ops.metrics import BINARY_METRICS, binary_metrics, scene_metrics


def _pairs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    changed = random.random(n) < 0.2
    return np.round(random.normal(size=n) + 1.5 * changed, 1).astype(np.float32) + 5, changed


def test_confusions_keep_the_number_of_examples_and_their_shares():
    confusion = np.array([[40, 5], [0, 55]])
    draws = bootstrap.bootstrap_confusions(confusion, 4000, seed=0)
    assert draws.shape == (4000, 2, 2)
    assert (draws.sum((1, 2)) == 100).all()
    assert (draws[:, 1, 0] == 0).all()
    np.testing.assert_allclose(draws.mean(0), confusion, atol=0.4)
    np.testing.assert_allclose(draws[:, 0, 1].std(), np.sqrt(100 * 0.05 * 0.95), rtol=0.05)


def test_interval_equals_that_of_resampled_examples():
    random = np.random.default_rng(1)
    truth = random.random(400) < 0.2
    predicted = random.random(400) < np.where(truth, 0.7, 0.15)
    confusion = [int(((truth == t) & (predicted == c)).sum()) for t in (False, True) for c in (False, True)]
    low, high = bootstrap.bootstrap_interval(confusion, resamples=4000, seed=2)["kappa"]
    rows = random.integers(0, 400, (1000, 400))
    plain = np.quantile([cohen_kappa_score(truth[row], predicted[row]) for row in rows], [0.025, 0.975])
    np.testing.assert_allclose([low, high], plain, atol=0.02)
    assert low < binary_metrics(confusion)["kappa"] < high


def test_interval_of_a_scene_confusion_brackets_its_metrics():
    confusion = np.diag([30, 40, 50]) + 3
    intervals = bootstrap.bootstrap_interval(confusion, resamples=300)
    figures = scene_metrics(confusion)
    assert list(intervals) == list(BINARY_METRICS)
    for metric, (low, high) in intervals.items():
        assert low < figures[metric] < high


def test_a_wider_level_gives_a_wider_interval():
    narrow, wide = (bootstrap.bootstrap_interval((80, 5, 5, 10), level=level)["f1"] for level in (0.5, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("confusion", [(10, 0, 0, 0), (0, 0, 0, 10)])
def test_a_single_cell_gives_points_and_kappa_zero(confusion):
    intervals = bootstrap.bootstrap_interval(confusion, resamples=50)
    assert intervals["kappa"] == (0.0, 0.0)
    assert intervals["oa"] == (1.0, 1.0)


def test_thresholds_depend_on_the_seed():
    distance, changed = _pairs(60, 3)
    first = bootstrap.bootstrap_thresholds(distance, changed, 20, 7)
    np.testing.assert_array_equal(first.threshold_r, bootstrap.bootstrap_thresholds(distance, changed, 20, 7)[0])
    assert (first.confusion_r4 != bootstrap.bootstrap_thresholds(distance, changed, 20, 8).confusion_r4).any()


def test_one_class_alone_is_never_predicted_changed_by_kappa():
    chosen = bootstrap.bootstrap_thresholds(np.arange(60.0), np.zeros(60, bool), 20, 0)
    assert (chosen.threshold_r == np.inf).all()
    np.testing.assert_array_equal(chosen.confusion_r4, [[60, 0, 0, 0]] * 20)


def test_rechosen_interval_is_wider_than_that_of_a_fixed_threshold():
    validation, test = _pairs(50, 4), _pairs(1000, 5)
    rechosen = bootstrap.rechosen_threshold_interval(*validation, *test, resamples=400, seed=1)
    limit = threshold.best_threshold(*validation).threshold
    predicted = test[0] >= limit
    confusion = [int(((test[1] == t) & (predicted == c)).sum()) for t in (False, True) for c in (False, True)]
    fixed = bootstrap.bootstrap_interval(confusion, resamples=400, seed=1)
    assert list(rechosen) == list(BINARY_METRICS)
    assert rechosen["recall"][1] - rechosen["recall"][0] > fixed["recall"][1] - fixed["recall"][0]
    assert rechosen == bootstrap.rechosen_threshold_interval(*validation, *test, resamples=400, seed=1)


def test_rechosen_interval_of_separable_pairs_is_a_point():
    distance = np.concatenate([np.full(25, 1.0), np.full(25, 9.0)])
    intervals = bootstrap.rechosen_threshold_interval(distance, distance > 5, distance, distance > 5, resamples=400)
    assert intervals["kappa"] == (1.0, 1.0)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: bootstrap.bootstrap_interval((1, 2, 3, 4), resamples=0), "resamples must be at least 1, got 0"),
        (lambda: bootstrap.bootstrap_interval((0, 0, 0, 0)), "the confusion is empty"),
        (lambda: bootstrap.bootstrap_interval((1, -2, 3, 4)), "non-negative integer counts"),
        (lambda: bootstrap.bootstrap_interval((1.0, 2.0, 3.0, 4.0)), "non-negative integer counts"),
        (lambda: bootstrap.bootstrap_interval((1, 2, 3)), r"\(tn, fp, fn, tp\) or \(k, k\), got shape \(3,\)"),
        (lambda: bootstrap.bootstrap_interval((1, 2, 3, 4), level=1.0), "level is a coverage between 0 and 1"),
        (lambda: bootstrap.bootstrap_thresholds([], []), "distance_n is empty"),
        (lambda: bootstrap.bootstrap_thresholds([1.0], [1], 0), "resamples must be at least 1"),
        (lambda: bootstrap.bootstrap_thresholds([1.0], [1], objective="f2"), "Did you mean 'f1'"),
        (lambda: bootstrap.rechosen_threshold_interval([1.0], [1], [np.nan], [1]), "must be finite"),
    ],
)
def test_bad_input_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()
