"""The transitions per city, which the paper does not print, against every count that it does."""

import numpy as np
import pytest
from solve_transitions import proportional_fit, solve_transitions

from tfds_builders.mtsccd.names import CITIES
from tfds_builders.mtsccd.tables import CHANGED_PAIRS, TABLE_2, TABLE_5
from tfds_builders.synthetic.mtsccd.archive import load_transitions


@pytest.fixture(scope="module")
def solutions() -> dict[str, np.ndarray]:
    return {"committed": load_transitions(), "solved again": solve_transitions()}


@pytest.mark.parametrize("which", ["committed", "solved again"])
def test_every_published_count_holds(solutions, which):
    pairs_cij = solutions[which]
    assert pairs_cij.shape == (5, 10, 10)
    assert pairs_cij.min() >= 0
    assert pairs_cij.sum() == 32774
    changed = {}
    for pairs_ij, city in zip(pairs_cij, CITIES, strict=True):
        assert tuple(pairs_ij.sum(axis=1)) == TABLE_2[city.name, 1]
        assert tuple(pairs_ij.sum(axis=0)) == TABLE_2[city.name, 2]
        changed[city.name] = int(pairs_ij.sum() - pairs_ij.trace())
    np.testing.assert_array_equal(pairs_cij.sum(axis=0), TABLE_5)
    assert changed.items() >= CHANGED_PAIRS.items()
    assert sum(changed.values()) == 4759


def test_the_proportional_fit_meets_the_same_counts():
    fit = proportional_fit()
    for pairs_ij, city in zip(fit, CITIES, strict=True):
        np.testing.assert_allclose(pairs_ij.sum(axis=1), TABLE_2[city.name, 1], atol=1e-6)
        np.testing.assert_allclose(pairs_ij.sum(axis=0), TABLE_2[city.name, 2], atol=1e-6)
    np.testing.assert_allclose(fit.sum(axis=0), TABLE_5, atol=1e-6)


def test_every_city_changes_plausibly(solutions):
    pairs_cij, again_cij = solutions.values()
    fit = proportional_fit()
    assert np.abs(pairs_cij - fit).max() < 1
    assert np.abs(again_cij - fit).sum() == pytest.approx(np.abs(pairs_cij - fit).sum(), rel=0.01)
    pairs_c = pairs_cij.sum(axis=(1, 2))
    changed_c = pairs_c - np.trace(pairs_cij, axis1=1, axis2=2)
    assert ((changed_c / pairs_c > 0.05) & (changed_c / pairs_c < 0.25)).all()
    transitions_ij = pairs_cij.sum(axis=0)
    often = transitions_ij >= 10
    assert (pairs_cij.max(axis=0)[often] < 0.85 * transitions_ij[often]).all()
    assert ((pairs_cij > 0).sum(axis=0)[often] >= 2).all()
