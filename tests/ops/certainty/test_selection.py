"""Risk against coverage by its definition: the mean over all orders of what is equally certain."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtsccd_jax.ops.certainty.selection import area_under_risk_coverage, risk_coverage

RANDOM = np.random.default_rng(1)


def by_all_orders(confidence, wrong):
    """The mean risk over the coverages, averaged over all orders of falling confidence."""
    orders = [
        order
        for order in itertools.permutations(range(len(wrong)))
        if all(confidence[a] >= confidence[b] for a, b in itertools.pairwise(order))
    ]
    k = np.arange(1, len(wrong) + 1)
    return np.mean([(np.cumsum(np.asarray(wrong)[list(order)]) / k).mean() for order in orders])


@given(st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=6), st.randoms())
@settings(deadline=None, max_examples=60)
def test_the_area_is_the_mean_over_all_orders(examples, random):
    confidence, wrong = (np.array(column) for column in zip(*examples, strict=True))
    area = area_under_risk_coverage(confidence, wrong)[0]
    assert area == pytest.approx(by_all_orders(confidence, wrong))
    random.shuffle(examples)
    confidence, wrong = (np.array(column) for column in zip(*examples, strict=True))
    assert area_under_risk_coverage(confidence, wrong)[0] == pytest.approx(area), "whatever the order of the examples"


def test_without_ties_the_area_is_the_mean_of_running_means():
    confidence, wrong = RANDOM.permutation(200) / 200, RANDOM.random(200) < 0.3
    running = np.cumsum(wrong[np.argsort(-confidence)]) / np.arange(1, 201)
    assert area_under_risk_coverage(confidence, wrong)[0] == pytest.approx(running.mean())
    found = risk_coverage(confidence, wrong)
    np.testing.assert_allclose(found.risk_m, running)
    np.testing.assert_allclose(found.coverage_m, np.arange(1, 201) / 200)


def test_weights_are_repeated_examples():
    confidence, wrong = RANDOM.integers(0, 9, 40) / 9, RANDOM.random(40) < 0.4
    weight = RANDOM.multinomial(40, [1 / 40] * 40, 5)
    repeated = [area_under_risk_coverage(np.repeat(confidence, w), np.repeat(wrong, w))[0] for w in weight]
    np.testing.assert_allclose(area_under_risk_coverage(confidence, wrong, weight.astype(float)), repeated)


def test_a_confidence_that_knows_its_errors_is_worth_more_than_one_that_does_not():
    wrong = np.repeat([False, True], [80, 20])
    knows, constant = (
        area_under_risk_coverage(np.where(wrong, 0.1, 0.9), wrong),
        area_under_risk_coverage(0 * wrong, wrong),
    )
    assert knows[0] < constant[0] == pytest.approx(0.2)


@pytest.mark.parametrize("confidence", [[], [0.5], [[0.5, 0.5]]])
def test_what_cannot_be_is_refused(confidence):
    with pytest.raises(ValueError, match="vectors of one length"):
        area_under_risk_coverage(np.array(confidence, float), np.array([True, False]))
