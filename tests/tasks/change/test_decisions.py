"""Transitions against brute force, thresholds against a search by hand, folds, and what cannot be decided."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score

from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.tasks.change.decisions import (
    FOLDS,
    by_threshold,
    change_margin,
    measure,
    stratified_folds,
    transition_share,
    transitions,
)


def scores(n=300, k=5, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, k)).astype(np.float32), generator.normal(size=(n, k)).astype(np.float32)


@pytest.mark.parametrize("k", [2, 5])
def test_the_transition_is_the_most_probable_of_all_that_the_decision_allows(k):
    t1, t2 = scores(k=k)
    predicted = np.random.default_rng(1).random(len(t1)) < 0.5
    found = np.stack(transitions(predicted, t1, t2), 1)
    assert found.dtype == np.int32
    for row, (changed, from_k, to_k) in enumerate(zip(predicted, t1, t2, strict=True)):
        allowed = {(i, j): from_k[i] + to_k[j] for i in range(k) for j in range(k) if (i != j if changed else i == j)}
        assert tuple(found[row]) == max(allowed, key=allowed.get)
    np.testing.assert_array_equal(found[:, 0] != found[:, 1], predicted)


def test_the_margin_of_change_has_the_sign_of_the_comparison_and_ignores_a_constant_a_date():
    t1, t2 = scores()
    margin = change_margin(t1, t2)
    differ = t1.argmax(1) != t2.argmax(1)
    assert (margin[differ] > 0).all()
    assert (margin[~differ] < 0).all()
    np.testing.assert_allclose(change_margin(t1 + 3, t2 - 1), margin, atol=1e-5)
    total = t1[:, :, None] + t2[:, None, :]
    stay = np.einsum("nii->ni", total).max(1)
    change = np.where(np.eye(5, dtype=bool), -np.inf, total).max((1, 2))
    np.testing.assert_allclose(margin, change - stay, atol=1e-6)


@pytest.mark.parametrize(("changed", "name"), [(0, "unchanged"), (12, "unchanged"), (13, "changed"), (25, "changed")])
def test_the_trivial_answer_is_the_better_constant_one(changed, name):
    truth = np.arange(25) < changed
    baseline = measure(truth, ~truth, None, resamples=1, seed=0).baseline
    constant = max(np.mean(truth == answer) for answer in (False, True))
    assert baseline == {"name": f"all {name}", "oa": constant, "kappa": 0.0}


def test_one_class_has_no_transition():
    with pytest.raises(ValueError, match="there is only one"):
        transitions(np.array([True]), np.ones((1, 1)), np.ones((1, 1)))


def test_the_share_of_right_transitions_is_among_changed_pairs_alone():
    generator = np.random.default_rng(0)
    changed, right = generator.random(400) < 0.3, generator.random(400) < 0.6
    value, interval = transition_share(changed, right, 1000, seed=1)
    assert value == right[changed].mean()
    rows = generator.integers(0, 400, (2000, 400))
    drawn = (changed & right)[rows].sum(1) / changed[rows].sum(1)
    np.testing.assert_allclose(interval, np.quantile(drawn, [0.025, 0.975]), atol=0.02)
    assert transition_share(changed, right & False, 50, seed=0) == (0.0, (0.0, 0.0))


@pytest.mark.parametrize(("changed", "unchanged"), [(5, 5), (13, 50), (31, 33), (500, 7)])
def test_folds_are_seeded_and_share_both_kinds_evenly(changed, unchanged):
    kinds = np.random.default_rng(1).permutation(np.r_[np.ones(changed, bool), np.zeros(unchanged, bool)])
    fold = stratified_folds(kinds, seed=0)
    for kind in (True, False):
        counts = np.bincount(fold[kinds == kind], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(fold, stratified_folds(kinds, seed=0))
    assert (fold != stratified_folds(kinds, seed=1)).any()


def pairs(n, seed):
    generator = np.random.default_rng(seed)
    changed = generator.random(n) < 0.3
    return generator.normal(changed, 1).astype(np.float32), changed


OPTIONS = {"name": "here", "resamples": 20, "seed": 0}


def test_the_threshold_is_validations_best_and_is_applied_as_it_is():
    validation, (distance, changed) = pairs(80, 0), pairs(120, 1)
    decision = by_threshold(validation, distance, changed, "f1", **OPTIONS)
    best = max(f1_score(validation[1], validation[0] >= cut) for cut in validation[0])
    assert f1_score(validation[1], validation[0] >= decision.threshold.value) == pytest.approx(best)
    np.testing.assert_array_equal(decision.predicted_n, distance >= decision.threshold.value)
    assert decision.threshold.chosen_on == "validation"
    assert set(decision.threshold.intervals) >= {"oa", "kappa"}


def test_without_validation_each_fold_is_decided_by_the_others():
    distance, changed = pairs(60, 2)
    decision = by_threshold(None, distance, changed, "kappa", **OPTIONS)
    fold = stratified_folds(changed, 0)
    thresholds = []
    for held_out in range(FOLDS):
        inside = fold == held_out
        cuts = np.sort(distance[~inside])[::-1]
        values = [cohen_kappa_score(changed[~inside], distance[~inside] >= cut) for cut in cuts]
        thresholds.append(cuts[np.argmax(np.array(values) >= max(values) - 1e-12)])
        np.testing.assert_array_equal(decision.predicted_n[inside], distance[inside] >= thresholds[-1])
    assert decision.threshold.value == pytest.approx(np.median(thresholds))
    assert (decision.threshold.chosen_on, decision.threshold.intervals) == ("cross_validation_5", None)
    assert decision.arrays == {}


@pytest.mark.parametrize(("kind", "word"), [(False, "unchanged"), (True, "changed")])
def test_validation_pairs_of_one_kind_are_refused(kind, word):
    distance, changed = pairs(20, 0)
    with pytest.raises(InputError, match=f"here, validation: all 20 pairs are {word}; a threshold is chosen on"):
        by_threshold((distance, np.full(20, kind)), distance, changed, "kappa", **OPTIONS)


def test_too_few_pairs_of_a_kind_cannot_be_cross_validated():
    distance = np.arange(12, dtype=np.float32)
    with pytest.raises(InputError, match="here: 3 changed and 9 unchanged pairs; choosing a threshold by 5-fold"):
        by_threshold(None, distance, distance < 3, "kappa", **OPTIONS)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["evaluated", "validation", "cross-validation"])
def test_distances_that_are_not_finite_end_in_one_line(bad, where):
    (known, kind), (distance, changed) = pairs(60, 0), pairs(60, 1)
    (known if where == "validation" else distance)[7] = bad
    validation = None if where == "cross-validation" else (known, kind)
    with pytest.raises(RunError, match=r"here: the network's distances are not finite; lower optim\.learning_rate"):
        by_threshold(validation, distance, changed, "kappa", **OPTIONS)
