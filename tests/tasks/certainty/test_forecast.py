"""Forecasts: nothing is judged on what it was fitted on, sets keep their promise, and few examples promise nothing."""

import math

import numpy as np
import pytest
from scipy.special import softmax

from mtsccd_jax.recipes.config import Certainty
from mtsccd_jax.tasks.certainty.forecast import FOLDS, Forecast, cross_fit, forecaster, stratified_folds
from mtsccd_jax.tasks.certainty.maps import fit_isotonic
from mtsccd_jax.tasks.certainty.measure import look_order, measure

ASKED = Certainty()
RANDOM = np.random.default_rng(5)


def pairs(n, seed=0):
    random = np.random.default_rng(seed)
    changed = random.random(n) < 0.2
    return (random.gamma(4, 0.1, n) + 0.3 * changed).astype(np.float32), changed.astype(int)


def test_pairs_by_the_definitions():
    """Every number of a forecast of pairs from its definition, fitted on one half and applied to the other."""
    (known, truth), (new, _) = pairs(400), pairs(300, seed=1)
    made = forecaster("cfsm", ASKED)(known, truth, new)
    expected = fit_isotonic(known, truth)(new)
    np.testing.assert_allclose(made.probability_nk, np.stack([1 - expected, expected], 1))
    highest = np.sort(known[truth == 0])[math.ceil((np.sum(truth == 0) + 1) * 0.9) - 1]
    lowest = np.sort(known[truth == 1])[::-1][math.ceil((np.sum(truth == 1) + 1) * 0.9) - 1]
    np.testing.assert_array_equal(made.in_set_nk, np.stack([new <= highest, new >= lowest], 1))
    place = np.clip((new - known.min()) / (known.max() - known.min()), 0, 1)
    np.testing.assert_allclose(made.before_nk[:, 1], place, atol=1e-6)
    confidence = np.sort(np.maximum(fit_isotonic(known, truth)(known), 1 - fit_isotonic(known, truth)(known)))
    np.testing.assert_array_equal(made.kept_n, np.maximum(expected, 1 - expected) >= confidence[int(0.1 * 399)])
    assert made.has_sets


def test_distances_that_are_probabilities_are_read_as_such():
    (known, truth), (new, _) = pairs(100), pairs(50, seed=1)
    made = forecaster("sscd", ASKED, is_probability=True)(known / 3, truth, new / 3)
    np.testing.assert_allclose(made.before_nk[:, 1], new / 3, rtol=1e-6)
    above = forecaster("cdc_1", ASKED, is_probability=True)(known / 3, truth, np.array([1 + 1e-6], np.float32))
    assert above.before_nk.tolist() == [[0, 1]], "half a sum of differences is rounded"


def test_scenes_by_the_definitions():
    logits, label = RANDOM.normal(0, 2, (500, 4)), RANDOM.integers(0, 4, 500)
    logits[np.arange(500), label] += 2
    made = forecaster("scene", ASKED)(logits[:400], label[:400], logits[400:])
    score = 1 - softmax(logits, 1)
    quantile = np.sort(score[np.arange(400), label[:400]])[math.ceil(401 * 0.9) - 1]
    np.testing.assert_array_equal(made.in_set_nk, score[400:] <= quantile)
    np.testing.assert_allclose(made.before_nk, softmax(logits[400:], 1))
    np.testing.assert_array_equal(made.probability_nk.argmax(1), logits[400:].argmax(1))
    np.testing.assert_allclose(made.probability_nk.sum(1), 1)


def test_cross_fitting_judges_nothing_on_what_it_was_fitted_on():
    """Truth of pure chance: a map fitted on the pairs themselves would seem to know it, a cross-fitted one does not."""
    distance, changed = np.arange(400.0), (RANDOM.random(400) < 0.5).astype(int)
    fold = stratified_folds(changed, np.arange(400), 0)
    forecast = forecaster("cfsm", ASKED)
    own, cross = forecast(distance, changed, distance), cross_fit(forecast, distance, changed, fold)
    brier_own, brier_cross = (((made.probability_nk[:, 1] - changed) ** 2).mean() for made in (own, cross))
    assert brier_own < 0.25 <= brier_cross
    for k in range(FOLDS):
        inside = fold == k
        alone = forecast(distance[~inside], changed[~inside], distance[inside])
        np.testing.assert_array_equal(cross.probability_nk[inside], alone.probability_nk)
        np.testing.assert_array_equal(cross.in_set_nk[inside], alone.in_set_nk)


def test_exchangeable_examples_are_covered_in_the_mean():
    """Over many draws the sets of both kinds hold the truth as often as asked, cross-fitted or from other examples."""
    asked = Certainty(coverage=0.8, calibration="platt")
    held, crossed = [], []
    for seed in range(30):
        (known, truth), (new, new_truth) = pairs(200, seed), pairs(200, seed + 1000)
        forecast = forecaster("cfsm", asked)
        in_set = forecast(known, truth, new).in_set_nk
        cross = cross_fit(forecast, known, truth, stratified_folds(truth, np.arange(200), seed)).in_set_nk
        held.append([in_set[new_truth == k, k].mean() for k in (0, 1)])
        crossed.append([cross[truth == k, k].mean() for k in (0, 1)])
    for found in (np.mean(held, 0), np.mean(crossed, 0)):
        np.testing.assert_allclose(found, 0.8, atol=0.03)
        assert (found > 0.79).all()


def test_folds_hold_whole_groups_and_as_many_of_each_class():
    label = RANDOM.integers(0, 4, 500)
    group = np.repeat(np.arange(250), 2)
    fold = stratified_folds(label, group, 3)
    assert (fold[::2] == fold[1::2]).all(), "both dates of a tile"
    firsts = np.stack([np.bincount(label[::2][fold[::2] == k], minlength=4) for k in range(FOLDS)])
    assert np.ptp(firsts, axis=0).max() <= 2
    assert not np.array_equal(fold, stratified_folds(label, group, 4))


def told(forecast, truth, settings, order=None, **changes):
    order = np.arange(len(truth)) if order is None else order
    settings = {"of_change": True, "resamples": 50, "seed": 0} | changes | {"settings": settings}
    return measure(forecast, truth, truth, order, **settings)


def test_a_perfect_forecaster():
    truth = np.repeat([0, 1], [40, 10])
    p = np.eye(2)[truth]
    made = told(Forecast(p, p, p > 0, np.ones(50, bool), True), truth, Certainty(look=10), look_order(p, p[:, 1], True))
    value = {name: entry["value"] for name, entry in made.metrics.items()}
    for name in ("ece", "ece_adaptive", "ece_floor", "brier", "aurc", "abstention", "empty", "several"):
        assert value[name] == 0, name
    for name in ("oa", "coverage", "coverage_unchanged", "coverage_changed", "set_size", "look_found"):
        assert value[name] == 1, name
    assert value["coverage_lost"] == pytest.approx(-0.1)
    assert made.confusion.tolist() == [[40, 0], [0, 10]]
    assert made.baseline["brier"] == pytest.approx(0.2 * 0.8)
    assert made.baseline["look_found"] == 0.2


def test_what_few_examples_do_not_tell_is_none():
    distance, truth = pairs(16)
    truth[:6] = 1
    forecast = forecaster("cfsm", ASKED)
    made = told(cross_fit(forecast, distance, truth, stratified_folds(truth, np.arange(16), 0)), truth, ASKED)
    untold = {name for name, entry in made.metrics.items() if entry["value"] is None}
    assert untold == {
        *("ece", "ece_adaptive", "ece_before", "ece_floor", "coverage", "coverage_lost"),
        *("coverage_unchanged", "coverage_changed", "set_size", "empty", "several"),
    }
    assert all(entry["low"] is entry["high"] is None for name, entry in made.metrics.items() if name in untold)


def test_a_coverage_of_one_holds_every_class():
    (known, truth), (new, new_truth) = pairs(100), pairs(80, seed=1)
    made = told(forecaster("cfsm", Certainty(coverage=1.0))(known, truth, new), new_truth, Certainty(coverage=1.0))
    assert made.metrics["coverage"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert made.metrics["set_size"]["value"] == 2


def test_a_kind_that_is_absent_has_no_coverage():
    (known, truth), (new, _) = pairs(100), pairs(80, seed=1)
    made = told(forecaster("cfsm", ASKED)(known, truth, new), np.zeros(80, int), ASKED)
    assert made.metrics["coverage_changed"] == {"value": None, "low": None, "high": None}
    assert made.metrics["look_found"]["value"] is None
    assert made.metrics["coverage_unchanged"]["value"] == made.metrics["coverage"]["value"]


def test_the_list_begins_with_what_finds_the_most():
    p = np.array([0.1, 0.9, 0.5, 0.9])
    assert look_order(np.stack([1 - p, p], 1), np.array([0.0, 1, 2, 3]), True).tolist() == [3, 1, 2, 0]
    assert look_order(np.stack([1 - p, p], 1), np.array([0.0, 1, 2, 3]), False).tolist() == [2, 0, 1, 3]


def test_order_does_not_matter():
    (known, truth), (new, new_truth) = pairs(200), pairs(150, seed=1)
    made, order = forecaster("cfsm", ASKED)(known, truth, new), RANDOM.permutation(150)
    moved = Forecast(
        *(getattr(made, name)[order] for name in ("probability_nk", "before_nk", "in_set_nk", "kept_n")), has_sets=True
    )
    first = look_order(made.probability_nk, new, True)
    second = look_order(moved.probability_nk, new[order], True)
    values = [
        {name: entry["value"] for name, entry in told(forecast, labels, Certainty(look=40), rank).metrics.items()}
        for forecast, labels, rank in ((made, new_truth, first), (moved, new_truth[order], second))
    ]
    drawn = [value.pop("ece_floor") for value in values]
    assert values[0] == pytest.approx(values[1], abs=1e-12)
    assert drawn[0] == pytest.approx(drawn[1], rel=0.3), "which chance decides"
