"""Threshold search against brute force over every candidate, and scikit-learn's curve."""

from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk

from mtsccd_jax.ops import threshold

OBJECTIVES = threshold.OBJECTIVES


def _exact_value(confusion: tuple[int, int, int, int], objective: str) -> Fraction:
    """Compute the objective as a fraction of integers, from its definition."""
    tn, fp, fn, tp = confusion
    n = tn + fp + fn + tp
    if objective == "oa":
        return Fraction(tn + tp, n)
    if objective == "f1":
        return Fraction(2 * tp, 2 * tp + fp + fn) if tp + fp + fn else Fraction(0)
    if objective == "balanced":
        recalls = [Fraction(right, total) for right, total in ((tp, tp + fn), (tn, tn + fp)) if total]
        return sum(recalls, Fraction(0)) / len(recalls)
    observed = Fraction(tn + tp, n)
    chance = Fraction((tp + fp) * (tp + fn) + (tn + fn) * (tn + fp), n * n)
    return (observed - chance) / (1 - chance) if chance != 1 else Fraction(0)


def _brute_force(distance: np.ndarray, changed: np.ndarray, objective: str) -> tuple[float, tuple, Fraction]:
    """Try every candidate from the largest down; return the first of the best."""
    best = None
    for candidate in [np.inf, *sorted(set(distance.tolist()), reverse=True)]:
        predicted = distance >= candidate
        counts = (~predicted & ~changed, predicted & ~changed, ~predicted & changed, predicted & changed)
        confusion = tuple(int(part.sum()) for part in counts)
        value = _exact_value(confusion, objective)
        if best is None or value > best[2]:
            best = (candidate, confusion, value)
    assert best is not None
    return best


def _pairs(n: int, levels: int, seed: int, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    changed = random.random(n) < 0.3
    level = random.integers(0, levels, n) + np.where(changed, random.integers(0, levels, n) // 2, 0)
    return (level / 7 - levels / 14).astype(dtype), changed  # ties, negative values, zero


CASES = {
    "one pair": (np.array([0.5], np.float32), np.array([True])),
    "two tied, unlike": (np.array([1, 1], np.float32), np.array([True, False])),
    "all tied": (np.full(9, 2.5, np.float32), np.arange(9) % 3 == 0),
    "none changed": (np.arange(5, dtype=np.float32), np.zeros(5, bool)),
    "all changed": (np.arange(5, dtype=np.float32), np.ones(5, bool)),
    "separable": (np.array([3, 4, 1, 2], np.float32), np.array([True, True, False, False])),
    "reversed": (np.array([1, 2, 3, 4], np.float32), np.array([True, True, False, False])),
    "zero and negative zero": (np.array([0.0, -0.0, -0.0, 1.0], np.float32), np.array([True, False, True, True])),
    "denormal": (np.array([1e-45, 2e-45, 0, 3e-45], np.float32), np.array([True, True, False, True])),
    "extreme": (np.array([3.4e38, -3.4e38, 1e-38, 0], np.float32), np.array([True, False, True, False])),
    "float64 apart by one ulp": (np.array([1.0, np.nextafter(1.0, 2)]), np.array([False, True])),
    "float64 negative": (np.array([-1.0, np.nextafter(-1.0, -2), 0.5]), np.array([True, False, True])),
    "float16": (np.array([0.1, 0.2, 0.3], np.float16), np.array([False, True, True])),
    "integers": (np.array([3, 1, 2, 2]), np.array([1, 0, 0, 1])),
    **{
        f"n={n} levels={m} seed={s}": _pairs(n, m, s) for n, m, s in ((2, 2, 0), (30, 5, 1), (30, 200, 2), (200, 40, 3))
    },
    "float64 ties": _pairs(200, 30, 4, np.float64),
}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("case", CASES)
def test_best_threshold_equals_brute_force(case, objective):
    distance, changed = CASES[case]
    candidate, confusion, value = _brute_force(distance, changed.astype(bool), objective)
    result = threshold.best_threshold(distance, changed, objective)
    assert (result.threshold, result.confusion) == (candidate, confusion)
    assert result.value == pytest.approx(float(value), abs=1e-12)
    assert result.degenerate == (len(set(changed.tolist())) == 1)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("case", [name for name, (distance, _) in CASES.items() if distance.dtype == np.float32])
def test_search_on_the_device_is_the_search_on_the_host(case, objective):
    distance, changed = CASES[case]
    on_device = threshold._best_on_device(jnp.asarray(distance), jnp.asarray(changed), objective)
    assert on_device == threshold.best_threshold(distance, changed, objective)


@pytest.mark.parametrize("case", CASES)
def test_curve_holds_every_candidate_with_its_counts(case):
    distance, changed = CASES[case]
    limit, tn, fp, fn, tp = threshold.threshold_curve(distance, changed)
    assert limit[0] == np.inf
    assert limit[1:].tolist() == sorted(set(distance.tolist()), reverse=True)
    changed = changed.astype(bool)
    for row, candidate in enumerate(limit.tolist()):
        predicted = distance >= candidate
        expected = [(~predicted & ~changed), (predicted & ~changed), (~predicted & changed), (predicted & changed)]
        assert [tn[row], fp[row], fn[row], tp[row]] == [part.sum() for part in expected]


def test_curve_agrees_with_scikit_learn():
    distance, changed = _pairs(3000, 500, 5)
    limit, tn, fp, fn, tp = threshold.threshold_curve(distance, changed)
    fpr, tpr, cuts = sk.roc_curve(changed, distance, drop_intermediate=False)
    np.testing.assert_array_equal(limit, cuts)
    np.testing.assert_allclose(fp / (fp + tn), fpr, atol=1e-12)
    np.testing.assert_allclose(tp / (tp + fn), tpr, atol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_value_agrees_with_scikit_learn(objective):
    distance, changed = _pairs(2000, 300, 6)
    result = threshold.best_threshold(distance, changed, objective)
    score = {
        "kappa": sk.cohen_kappa_score,
        "oa": sk.accuracy_score,
        "f1": sk.f1_score,
        "balanced": sk.balanced_accuracy_score,
    }[objective]
    predicted = distance >= result.threshold
    assert result.value == pytest.approx(score(changed, predicted), abs=1e-9)
    assert result.confusion == tuple(sk.confusion_matrix(changed, predicted).ravel())


def test_value_is_exact_beyond_a_million_pairs():
    n = 1_200_000
    random = np.random.default_rng(7)
    changed = random.random(n) < 0.13
    distance = (random.random(n) + changed * 0.4).astype(np.float32)
    result = threshold.best_threshold(distance, changed)
    assert result.value == pytest.approx(float(_exact_value(result.confusion, "kappa")), abs=1e-12)
    _, tn, fp, fn, tp = (part.astype(np.float64) for part in threshold.threshold_curve(distance, changed))
    kappa = 2 * (tp * tn - fp * fn) / ((tp + fp) * (fp + tn) + (tp + fn) * (fn + tn))
    assert result.value == pytest.approx(kappa.max(), abs=1e-12)
    assert threshold._best_on_device(jnp.asarray(distance), changed, "kappa") == result


@pytest.mark.parametrize("transform", [np.log1p, np.square, lambda d: 3 * d + 1, lambda d: d * 2.0**-130])
def test_a_monotone_transform_keeps_the_partition(transform):
    random = np.random.default_rng(8)
    distance = random.choice(np.arange(1, 400), 300) / np.float32(512)
    changed = random.random(300) < 0.2 + 0.5 * (distance > 0.5)
    other = transform(distance.astype(np.float64)).astype(np.float64)
    first, second = threshold.best_threshold(distance, changed), threshold.best_threshold(other, changed)
    assert first.confusion == second.confusion
    np.testing.assert_array_equal(distance >= first.threshold, other >= second.threshold)


def test_the_order_of_pairs_does_not_matter():
    distance, changed = _pairs(200, 20, 9)
    order = np.random.default_rng(0).permutation(200)
    assert threshold.best_threshold(distance[order], changed[order]) == threshold.best_threshold(distance, changed)


def test_among_equal_values_the_largest_threshold_wins():
    # Each of the first two cuts gets one pair right and one wrong; "none" does as well by overall accuracy.
    distance, changed = np.array([4, 3, 2, 1], np.float32), np.array([False, True, False, True])
    assert threshold.best_threshold(distance, changed, "oa").threshold == np.inf
    assert threshold.best_threshold(distance, changed, "f1").threshold == 1.0


def test_best_cut_maps_over_weightings_of_one_order():
    changed = np.array([1, 1, 0, 1, 0, 0])
    weights = np.random.default_rng(10).integers(0, 3, (5, 6))
    with jax.enable_x64(True):
        tp, fp = np.cumsum(weights * changed, 1), np.cumsum(weights * (1 - changed), 1)
        search = jax.vmap(lambda a, b: threshold.best_cut(a, b, np.ones(6, bool), "kappa"))
        cuts = jax.device_get(search(tp, fp))
    for row, weight in enumerate(weights):
        repeated = np.repeat(np.arange(6), weight)
        single = threshold.best_threshold(6.0 - repeated, changed[repeated])
        assert single.confusion[1] == cuts.fp[row]
        assert single.confusion[3] == cuts.tp[row]


@pytest.mark.parametrize(
    ("distance", "changed", "text"),
    [
        ([], [], "distance_n is empty"),
        ([1.0, 2.0], [True], "vectors of one length"),
        ([[1.0]], [[True]], "vectors of one length"),
        ([1.0, float("nan")], [True, False], r"distance_n\[1\] is nan: distances must be finite"),
        ([float("inf"), 1.0], [True, False], r"distance_n\[0\] is inf: distances must be finite"),
        ([1.0, 2.0], [0, 2], r"changed_n\[1\] is 2: labels are 0"),
    ],
)
def test_bad_pairs_are_refused_on_host_and_device(distance, changed, text):
    distance, changed = np.array(distance, np.float32), np.array(changed)
    with pytest.raises(ValueError, match=text):
        threshold.best_threshold(distance, changed)
    with pytest.raises(ValueError, match=text):
        threshold.threshold_curve(distance, changed)
    with pytest.raises(ValueError, match=text):
        threshold._best_on_device(jnp.asarray(distance), jnp.asarray(changed), "kappa")


def test_more_pairs_than_a_device_counts_are_refused(monkeypatch):
    monkeypatch.setattr(threshold, "device_bucket", lambda n: 2**31)
    with pytest.raises(ValueError, match=r"holds 2 pairs, more than an accelerator counts at once.*ThresholdHistogram"):
        threshold._best_on_device(jnp.ones(2), jnp.ones(2), "kappa")


def test_positions_beyond_int32_are_counted_in_int64():
    with jax.enable_x64(True):
        for n, kind in ((1 << 10, jnp.int32), (1 << 32, jnp.int64)):
            count, allowed = jax.ShapeDtypeStruct((n,), jnp.int64), jax.ShapeDtypeStruct((n,), bool)
            cut = jax.eval_shape(partial(threshold.best_cut, objective="kappa"), count, count, allowed)
            assert cut.position.dtype == kind


@pytest.mark.parametrize("kind", [jnp.float64, jnp.int32])
def test_what_float32_cannot_tell_apart_is_searched_on_the_host(kind, monkeypatch):
    monkeypatch.setattr(threshold, "_on_accelerator", lambda array: True)
    distance, changed = np.array([1 << 25, (1 << 25) + 1]), np.array([False, True])
    with jax.enable_x64(True):
        assert threshold.best_threshold(jnp.asarray(distance, kind), changed).threshold == (1 << 25) + 1
    assert threshold.stays_on_device(jnp.ones(1))
    assert threshold.stays_on_device(jnp.ones(1, jnp.bfloat16))


def test_text_and_complex_distances_are_refused():
    for bad in (np.array(["a"]), np.array([1j])):
        with pytest.raises(ValueError, match="distance_n must hold real numbers"):
            threshold.best_threshold(bad, [True])


def test_an_unknown_objective_names_the_nearest():
    with pytest.raises(ValueError, match=r"unknown objective 'kapa'.*Did you mean 'kappa'\?"):
        threshold.best_threshold([1.0], [True], "kapa")


def test_lengths_of_one_bucket_share_one_program():
    threshold.best_threshold(np.arange(100.0), np.arange(100) > 50)
    before = threshold.best_cut._cache_size()
    for n in (3, 77, 256):
        threshold.best_threshold(np.arange(float(n)), np.arange(n) > n // 2)
    assert threshold.best_cut._cache_size() == before


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_search_lowers_for_accelerators(objective):
    with jax.enable_x64(True):
        shapes = jax.ShapeDtypeStruct((512,), jnp.float32), jax.ShapeDtypeStruct((512,), jnp.int32)
        exported = jax.export.export(threshold.search_on_device, platforms=["cpu", "cuda", "tpu"])(*shapes, objective)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    # Sorts of one or two operands over unsigned 32-bit keys are those that GPUs have a radix sort for.
    sorts = [part.split("stablehlo.return")[0] for part in exported.mlir_module().split('"stablehlo.sort"')[1:]]
    assert len(sorts) == 2
    assert all(part.count("compare LT") == 1 and "UNSIGNED : (tensor<ui32>, tensor<ui32>)" in part for part in sorts)
