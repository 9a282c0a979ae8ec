"""The histogram form against the search over all distances at once, and the laws of counts that add up."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtsccd_jax.ops import threshold, threshold_histogram
from mtsccd_jax.ops.threshold_histogram import ThresholdHistogram

OBJECTIVES = threshold.OBJECTIVES
Part = tuple[np.ndarray, np.ndarray]


def _pairs(n: int, seed: int, levels: int | None = None) -> Part:
    random = np.random.default_rng(seed)
    changed = random.random(n) < 0.13
    distance = random.normal(size=n) + 1.5 * changed
    return (distance if levels is None else np.round(distance * levels) / levels).astype(np.float32), changed


CASES: dict[str, Part] = {
    "one pair": (np.array([0.5], np.float32), np.array([True])),
    "two tied, unlike": (np.array([1, 1], np.float32), np.array([True, False])),
    "none changed": (np.arange(5, dtype=np.float32), np.zeros(5, bool)),
    "all changed": (np.arange(5, dtype=np.float32), np.ones(5, bool)),
    "zero and negative zero": (np.array([0.0, -0.0, -0.0, 1.0], np.float32), np.array([True, False, True, True])),
    "denormal": (np.array([1e-45, 2e-45, 0, 3e-45], np.float32), np.array([True, True, False, True])),
    "extreme": (np.array([3.4e38, -3.4e38, 1e-38, 0], np.float32), np.array([True, False, True, False])),
    "float16": (np.array([0.5, 0.25, 0.5, 2], np.float16), np.array([1, 0, 0, 1])),
    "ties": _pairs(3000, 1, levels=5),
    "many values": _pairs(20_000, 2),
    "one binade": ((1 + np.random.default_rng(4).random(5000) / 300).astype(np.float32), _pairs(5000, 4)[1]),
    "labels by chance": (np.random.default_rng(5).random(5000).astype(np.float32), _pairs(5000, 5)[1]),
}


def _search(parts: list[Part], objective: str, add: Callable = ThresholdHistogram.add) -> threshold.ThresholdResult:
    histogram = ThresholdHistogram()
    for _ in range(12):
        for part in parts:
            add(histogram, *part)
        if histogram.is_settled(objective):
            return histogram.result(objective)
        histogram = histogram.refined(objective)
    raise AssertionError("twelve passes settle nothing")


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("case", CASES)
def test_the_result_is_that_of_all_distances_at_once_however_they_are_divided(case, objective):
    distance, changed = CASES[case]
    expected = threshold.best_threshold(distance, changed, objective)
    order = np.random.default_rng(0).permutation(len(distance))
    for cuts in ([], [1], [7, 7000, 12_345]):
        parts = [(distance[some], changed[some]) for some in np.split(order, cuts) if len(some)]
        assert _search(parts, objective) == expected


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_small_random_cases_and_few_cells_a_pass(objective, monkeypatch):
    # With room for few cells, and few of them split at a time, the same is found in more passes.
    monkeypatch.setattr(threshold_histogram, "_FIRST_BITS", 12)
    monkeypatch.setattr(threshold_histogram, "_MOST_CELLS", 1 << 10)
    monkeypatch.setattr(threshold_histogram, "_MOST_SPLIT", 3)
    for seed in range(12):
        random = np.random.default_rng(seed)
        n, levels = random.integers(2, 60), random.integers(1, 40)
        distance = (random.integers(-levels, levels, n) / 7).astype(np.float32)
        changed = random.random(n) < random.random()
        expected = threshold.best_threshold(distance, changed, objective)
        assert _search([(distance, changed)], objective) == expected, seed


def test_two_passes_are_enough():
    histogram = ThresholdHistogram()
    histogram.add(*CASES["many values"])
    assert not histogram.is_settled()
    second = histogram.refined()
    second.add(*CASES["many values"])
    assert second.is_settled()
    with pytest.raises(ValueError, match="nothing to refine"):
        second.refined()


def test_merging_is_commutative_and_associative_in_every_pass():
    distance, changed = CASES["many values"]
    parts = [(distance[i::3], changed[i::3]) for i in range(3)]
    template = ThresholdHistogram()
    while True:
        counted = []
        for part in parts:
            counted.append(template.empty())
            counted[-1].add(*part)
        a, b, c = counted
        sums = [
            a.merge(b).merge(c),
            a.merge(b.merge(c)),
            c.merge(a).merge(b),
            template.empty().merge(b).merge(c).merge(a),
        ]
        assert all(np.array_equal(total._count_ck, sums[0]._count_ck) for total in sums)
        if sums[0].is_settled():
            break
        template = sums[0].refined()
    assert {total.result() for total in sums} == {threshold.best_threshold(distance, changed)}


@pytest.mark.parametrize("case", ["many values", "extreme", "zero and negative zero"])
def test_counting_on_the_device_is_counting_on_the_host(case, monkeypatch):
    monkeypatch.setattr(threshold_histogram, "_FIRST_BITS", 11)
    distance, changed = CASES[case]
    host, device = ThresholdHistogram(), ThresholdHistogram()
    for _ in range(3):
        host.add(distance, changed)
        device._add_on_device(jnp.asarray(distance), jnp.asarray(changed))
        np.testing.assert_array_equal(device._count_ck, host._count_ck)
        if host.is_settled():
            break
        host, device = host.refined(), device.refined()
    assert device.result() == threshold.best_threshold(distance, changed)


def test_counting_over_a_mesh_is_counting_on_the_host(monkeypatch):
    monkeypatch.setattr(threshold_histogram, "_FIRST_BITS", 11)
    distance, changed = CASES["many values"]
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    placed = jax.device_put(distance, jax.NamedSharding(mesh, jax.P(("data", "model"))))
    found = _search([(placed, changed)], "kappa", ThresholdHistogram._add_on_device)
    assert found == threshold.best_threshold(distance, changed)


def test_counting_lowers_for_accelerators():
    shapes = [jax.ShapeDtypeStruct((512,), kind) for kind in (jnp.float32, jnp.int32)]
    shapes += [jax.ShapeDtypeStruct((4,), jnp.uint32)] * 3
    exported = jax.export.export(threshold_histogram._counted(8, None, None), platforms=["cpu", "cuda", "tpu"])(*shapes)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    module = exported.mlir_module()
    assert "scatter" not in module
    assert module.count("stablehlo.sort") == 1


def test_more_pairs_than_a_device_counts_are_refused(monkeypatch):
    monkeypatch.setattr(threshold, "device_bucket", lambda n: 2**31)
    with pytest.raises(ValueError, match="distance_n holds 2 pairs, more than an accelerator counts at once: add them"):
        ThresholdHistogram()._add_on_device(jnp.ones(2), jnp.ones(2))


def test_bad_pairs_and_uses_are_refused(monkeypatch):
    monkeypatch.setattr(threshold_histogram, "_FIRST_BITS", 11)
    histogram = ThresholdHistogram()
    with pytest.raises(ValueError, match=r"distance_n\[1\] is nan"):
        histogram.add(np.array([1, np.nan], np.float32), [True, False])
    with pytest.raises(ValueError, match=r"distance_n\[1\] is nan"):
        histogram._add_on_device(jnp.array([1, jnp.nan]), jnp.array([True, False]))
    with pytest.raises(ValueError, match=r"changed_n\[0\] is 2"):
        histogram._add_on_device(jnp.array([1.0]), jnp.array([2]))
    with pytest.raises(ValueError, match="no pair was counted"):
        histogram.result()
    with pytest.raises(ValueError, match="distance_n holds float64: a histogram counts float32 distances"):
        histogram.add(np.array([1.0]), [True])
    histogram.add(*CASES["many values"])
    with pytest.raises(ValueError, match="not certain yet"):
        histogram.result()
    with pytest.raises(ValueError, match=r"unknown objective 'kapa'.*Did you mean 'kappa'\?"):
        histogram.is_settled("kapa")
    with pytest.raises(ValueError, match="count in different cells"):
        histogram.merge(histogram.refined())
