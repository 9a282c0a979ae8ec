"""Conformal quantiles by their definition, and the coverage that they promise."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtsccd_jax.ops.certainty.conformal import class_quantiles, conformal_quantile, prediction_sets


@given(st.lists(st.floats(-10, 10), max_size=40), st.integers(1, 100))
@settings(deadline=None)
def test_the_quantile_is_the_smallest_score_of_the_promised_rank(scores, hundredths):
    rank = math.ceil((len(scores) + 1) * Fraction(hundredths, 100))
    expected = sorted(scores)[rank - 1] if rank <= len(scores) else math.inf
    assert conformal_quantile(np.array(scores), hundredths / 100) == expected


@pytest.mark.parametrize(("n", "coverage"), [(19, 0.9), (50, 0.8), (9, 0.9), (30, 0.75)])
def test_exchangeable_examples_are_covered_as_promised(n, coverage):
    """Exactly k / (n + 1) for the k-th of n scores without ties: beta-distributed coverages whose mean is measured."""
    random, drawn = np.random.default_rng(0), 4000
    score = random.normal(size=(drawn, n + 1))
    held = [row[-1] <= conformal_quantile(row[:-1], coverage) for row in score]
    promised = math.ceil(round((n + 1) * coverage, 9)) / (n + 1)
    assert np.mean(held) == pytest.approx(promised, abs=4 * math.sqrt(promised * (1 - promised) / drawn))
    assert promised >= coverage


def test_each_class_is_covered_for_itself():
    random = np.random.default_rng(2)
    label = (random.random(40_000) < 0.1).astype(int)
    score = np.stack([random.normal(size=40_000), random.normal(2, 3, 40_000)], 1)
    true = score[np.arange(len(label)), label]
    known, new = slice(0, 20_000), slice(20_000, None)
    each = prediction_sets(score[new], class_quantiles(true[known], label[known], 2, 0.9))
    one = prediction_sets(score[new], conformal_quantile(true[known], 0.9))
    held, held_by_one = (found[np.arange(20_000), label[new]] for found in (each, one))
    for k in (0, 1):
        assert held[label[new] == k].mean() == pytest.approx(0.9, abs=0.02)
    assert held_by_one.mean() == pytest.approx(0.9, abs=0.01)
    assert held_by_one[label[new] == 1].mean() < 0.8, "one quantile for all leaves the rare class behind"


def test_too_few_examples_and_a_coverage_of_one_bound_nothing():
    assert conformal_quantile([], 0.5) == math.inf
    assert conformal_quantile(np.arange(8.0), 0.9) == math.inf
    assert conformal_quantile(np.arange(9.0), 0.9) == 8
    assert conformal_quantile(np.arange(1000.0), 1.0) == math.inf
    assert class_quantiles([1.0, 2.0], [0, 0], 2, 0.5).tolist() == [2.0, math.inf]
    assert prediction_sets([[5.0, 1e300]], [4.0, math.inf]).tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: conformal_quantile([1.0], 0), "coverage must be above 0"),
        (lambda: conformal_quantile([1.0], 1.01), "at most 1"),
        (lambda: conformal_quantile([np.inf], 0.5), "must be finite"),
        (lambda: class_quantiles([1.0], [0, 1], 2, 0.9), "one length"),
        (lambda: class_quantiles([1.0], [2], 2, 0.9), "outside 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
