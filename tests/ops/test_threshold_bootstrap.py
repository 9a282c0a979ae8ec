"""Resamples as counts of cells: their distribution, and their best cut against that of the pairs they count."""

import jax
import numpy as np
import pytest

from mtsccd_jax.ops import threshold_bootstrap
from mtsccd_jax.ops.bootstrap import bootstrap_thresholds
from mtsccd_jax.ops.threshold import best_threshold, sort_descending


def pairs_of(n, share, digits, seed):
    """Make distances of n pairs, rounded so that some are equal, and which of the pairs changed."""
    random = np.random.default_rng(seed)
    changed = random.random(n) < share
    changed[:2] = False, True
    return np.round(np.abs(random.normal(size=n) + 1.2 * changed), digits).astype(np.float32), changed


def drawn(cells, samples, seed):
    """Draw `(count_rc, usable_r)` of so many resamples."""
    width = cells.quantile_kc.shape[1] + cells.late
    bits = threshold_bootstrap.draw_bits(np.random.PCG64(seed), (samples, width))
    with jax.enable_x64(True):
        given = jax.device_put((bits, cells.quantile_kc, cells.cell_p, cells.pairs, cells.late))
        counts, usable = threshold_bootstrap.draw_counts(*given)
    return np.asarray(counts), np.asarray(usable)


@pytest.mark.parametrize(
    ("n", "share", "digits"), [(60, 0.3, 1), (700, 0.1, 2), (700, 0.9, 4), (40, 0.5, 0), (3, 0.5, 1)]
)
def test_a_cell_holds_one_kind_and_no_cut_but_behind_it(n, share, digits):
    distance, changed = pairs_of(n, share, digits, 1)
    value, kind = sort_descending(distance, changed)
    cells = threshold_bootstrap.make_cells(value, kind)
    cell = cells.cell_p[:n]
    np.testing.assert_array_equal(np.bincount(cell, minlength=len(cells.size_c)), cells.size_c)
    assert cells.size_c[0] == 0
    assert cells.size_c.max() <= threshold_bootstrap._CELL
    cuts = np.unique(value[kind == 1])[::-1]
    np.testing.assert_array_equal(cells.value_i, cuts)
    assert cells.allowed_j.sum() == len(cuts)
    for place, cut in enumerate(cuts):
        for of_kind, last in ((1, cells.changed_j[place]), (0, cells.unchanged_j[place])):
            np.testing.assert_array_equal(value[kind == of_kind] >= cut, cell[kind == of_kind] <= last)


@pytest.mark.parametrize(
    ("objective", "n", "share", "digits"),
    [("kappa", 500, 0.1, 2), ("oa", 60, 0.3, 1), ("f1", 300, 0.95, 5), ("balanced", 200, 0.02, 5)],
)
def test_the_best_cut_of_a_sample_is_that_of_its_pairs(objective, n, share, digits):
    distance, changed = pairs_of(n, share, digits, 2)
    value, kind = sort_descending(distance, changed)
    cells = threshold_bootstrap.make_cells(value, kind)
    chosen = bootstrap_thresholds(distance, changed, 12, 5, objective)
    counts, usable = drawn(cells, 12, 5)
    assert usable.all()
    first = np.zeros(len(cells.size_c), int)
    first[cells.cell_p[:n][::-1]] = np.arange(n)[::-1]
    for count, limit, confusion in zip(counts, *chosen, strict=True):
        rows = np.repeat(first, count)  # any pair of a cell will do
        expected = best_threshold(value[rows], kind[rows], objective)
        assert (limit, tuple(confusion)) == (expected.threshold, expected.confusion)


@pytest.mark.parametrize("spread", [4.0, 0.5])
def test_counts_are_those_of_draws_with_replacement(spread, monkeypatch):
    """Sums, means, variances and covariances agree, also where many resamples are rejected."""
    monkeypatch.setattr(threshold_bootstrap, "_SPREAD", spread)
    distance, changed = pairs_of(900, 0.05, 5, 3)
    cells = threshold_bootstrap.make_cells(*sort_descending(distance, changed))
    counts, usable = drawn(cells, 40_000, 4)
    assert (usable.mean() > 0.999) if spread == 4 else (0.3 < usable.mean() < 0.5)
    counts = counts[usable].astype(np.float64)
    assert (counts.sum(1) == 900).all()
    share, samples = cells.size_c / 900, len(counts)
    variance = 900 * share * (1 - share)
    error = np.where(variance > 0, (counts.mean(0) - 900 * share) / np.sqrt(np.maximum(variance, 1e-9) / samples), 0)
    assert np.abs(error).max() < 4.5
    assert np.square(error[variance > 0]).mean() == pytest.approx(1, abs=0.4)
    present = variance > 0
    np.testing.assert_allclose(counts.var(0)[present], variance[present], rtol=0.08)
    large = np.argsort(share)[-40:]
    correlation = np.corrcoef(counts[:, large].T)[np.triu_indices(40, 1)]
    assert correlation.mean() == pytest.approx(-8 / 892, abs=4 / np.sqrt(samples * 780))


@pytest.mark.parametrize("spread", [4.0, 0.5])
def test_samples_that_cannot_be_used_are_drawn_anew_and_depend_on_their_place_alone(spread, monkeypatch):
    distance, changed = pairs_of(900, 0.2, 3, 5)
    monkeypatch.setattr(threshold_bootstrap, "_SPREAD", spread)
    many = bootstrap_thresholds(distance, changed, 60, 6)
    assert (many.confusion_r4.sum(1) == 900).all()
    monkeypatch.setattr(threshold_bootstrap, "_CHUNK_BITS", 9000)
    few = bootstrap_thresholds(distance, changed, 25, 6)
    np.testing.assert_array_equal(many.threshold_r[:25], few.threshold_r)
    np.testing.assert_array_equal(many.confusion_r4[:25], few.confusion_r4)


def test_thresholds_are_spread_as_those_of_a_loop_over_repeated_pairs():
    distance, changed = pairs_of(400, 0.2, 4, 7)
    ours = bootstrap_thresholds(distance, changed, 2000, 0)
    random, loop = np.random.default_rng(1), []
    for _ in range(2000):
        row = random.integers(0, 400, 400)
        loop.append(best_threshold(distance[row], changed[row]).value)
    tn, fp, fn, tp = ours.confusion_r4.T
    kappa = 2 * (tp * tn - fp * fn) / ((tp + fp) * (fp + tn) + (tp + fn) * (fn + tn))
    for quantile in (0.025, 0.25, 0.5, 0.75, 0.975):
        assert np.quantile(kappa, quantile) == pytest.approx(np.quantile(loop, quantile), abs=0.012)
