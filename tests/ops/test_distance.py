"""Distances against SciPy in float64, brute force, and the laws that chunks and devices must keep."""

import ast
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mtsccd_jax.ops import distance

SEARCH_SHAPE = (13, 200, 256)  # queries, gallery, width: one shape for many tests, so that few programs are compiled


def _reference(x_nd: np.ndarray, y_md: np.ndarray, metric: str) -> np.ndarray:
    """Compute all distances in extended precision, in which even 1 - cos keeps the digits of near-duplicates."""
    x, y = x_nd.astype(np.longdouble), y_md.astype(np.longdouble)
    if metric == "cosine":
        x, y = (a / np.sqrt((a * a).sum(1, keepdims=True)) for a in (x, y))
    squared = np.stack([((row - y) ** 2).sum(1) for row in x])
    return (squared / 2 if metric == "cosine" else np.sqrt(squared)).astype(np.float64)


def _search_data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    n, m, width = SEARCH_SHAPE
    random = np.random.default_rng(seed)
    return random.normal(size=(n, width)).astype(np.float32), random.normal(size=(m, width)).astype(np.float32)


def _near_duplicates(offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Features whose first n gallery rows are the queries moved by 1e-4, around a large common offset."""
    n, m, width = SEARCH_SHAPE
    random = np.random.default_rng(1)
    x = (random.normal(size=(n, width)) + offset).astype(np.float32)
    step = random.normal(size=(n, width))
    step *= 1e-4 / np.linalg.norm(step, axis=1, keepdims=True)
    if offset:
        step *= 2000  # the spacing of float32 at the offset is what limits how near features can be
    y = (random.normal(size=(m, width)) + offset).astype(np.float32)
    y[:n] = (x + step).astype(np.float32)
    return x, y


@pytest.mark.parametrize("metric", distance.METRICS)
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_near_duplicates_keep_float32_accuracy(metric, offset):
    x, y = _near_duplicates(offset)
    exact = _reference(x, y, metric)
    n = len(x)
    assert (exact.diagonal() > 0).all()
    every = np.asarray(distance.pairwise_distance(x, y, metric))
    np.testing.assert_allclose(every, exact, rtol=2e-5)
    np.testing.assert_allclose(every.diagonal(), exact.diagonal(), rtol=1e-6)
    np.testing.assert_allclose(distance.paired_distance(x, y[:n], metric), exact.diagonal(), rtol=1e-6)
    near, index = distance.nearest_neighbors(x, y, 5, metric)
    np.testing.assert_array_equal(index[:, 0], np.arange(n))
    np.testing.assert_allclose(near, np.sort(exact, 1)[:, :5], rtol=1e-6)


@pytest.mark.parametrize("metric", distance.METRICS)
@pytest.mark.parametrize("unit_length", [False, True])
def test_ordinary_features_agree_with_scipy(metric, unit_length, monkeypatch):
    x, y = _search_data()
    wide = [a.astype(np.float64) for a in (x, y)]
    exact = cdist(*([a / np.linalg.norm(a, axis=1)[:, None] for a in wide] if unit_length else wide), metric)
    options = {"metric": metric, "unit_length": unit_length}
    every = distance.pairwise_distance(x, y, **options)
    np.testing.assert_allclose(every, exact, rtol=1e-6, atol=3e-7)
    near, index = distance.nearest_neighbors(x, y, 5, **options)
    np.testing.assert_array_equal(index, np.argsort(exact, 1)[:, :5])
    np.testing.assert_allclose(near, np.sort(exact, 1)[:, :5], rtol=1e-6)
    paired = distance.paired_distance(x, y[: len(x)], **options)
    np.testing.assert_allclose(paired, exact[:, : len(x)].diagonal(), rtol=1e-6)
    if unit_length:
        np.testing.assert_array_equal(distance.pairwise_distance(x * 4, y, **options), every)
    monkeypatch.setattr(distance, "_PAIRWISE_ROWS", 5)
    np.testing.assert_allclose(distance.pairwise_distance(x, y, **options), every, rtol=1e-6, atol=3e-7)


def test_small_angles_between_vectors_of_unlike_length_keep_their_digits():
    random = np.random.default_rng(11)
    x = (random.normal(size=(8, 512)) + 3).astype(np.float32)
    y = (np.linspace(0.3, 70, 8)[:, None] * (x + 1e-4 * random.normal(size=x.shape))).astype(np.float32)
    exact = _reference(x, y, "cosine").diagonal()
    assert exact.max() < 1e-8
    np.testing.assert_allclose(distance.paired_distance(x, y, "cosine"), exact, rtol=1e-6)


def test_cosine_of_equal_and_opposite_directions():
    x = np.random.default_rng(2).normal(size=(6, 64)).astype(np.float32)
    np.testing.assert_array_equal(distance.paired_distance(x, x, "cosine"), 0)
    np.testing.assert_allclose(distance.paired_distance(x, 3 * x, "cosine"), 0, atol=1e-13)
    np.testing.assert_allclose(distance.paired_distance(x, -x, "cosine"), 2, rtol=1e-6)


@pytest.mark.parametrize(("metric", "unit_length", "apart"), [("cosine", False, 1), ("euclidean", True, 2**0.5)])
def test_a_zero_vector_is_a_direction_of_its_own(metric, unit_length, apart):
    x, y = _search_data()
    x[0] = y[3] = y[5] = 0
    options = {"metric": metric, "unit_length": unit_length}
    rows = np.asarray(distance.pairwise_distance(x, y, **options))
    expected = np.full(len(y), apart)
    expected[[3, 5]] = 0
    np.testing.assert_allclose(rows[0], expected, rtol=1e-6)
    np.testing.assert_allclose(np.delete(rows[:, 3], 0), apart, rtol=1e-6)
    near, index = distance.nearest_neighbors(x, y, 5, **options)
    np.testing.assert_array_equal(index[0], [3, 5, 0, 1, 2])
    np.testing.assert_allclose(near[0], [0, 0, apart, apart, apart], rtol=1e-6)
    np.testing.assert_allclose(distance.paired_distance(x[:1], y[3:4], **options), 0)


@pytest.mark.parametrize("scale", [2.0**-90, 2.0**90])
def test_euclidean_distances_scale_with_the_features(scale):
    x, y = _search_data()
    x_scaled, y_scaled = x * np.float32(scale), y * np.float32(scale)  # their squares leave float32
    np.testing.assert_array_equal(
        distance.pairwise_distance(x_scaled, y_scaled), distance.pairwise_distance(x, y) * np.float32(scale)
    )
    near, index = distance.nearest_neighbors(x, y, 5)
    near_scaled, index_scaled = distance.nearest_neighbors(x_scaled, y_scaled, 5)
    np.testing.assert_array_equal(index_scaled, index)
    np.testing.assert_array_equal(near_scaled, near * np.float32(scale))
    np.testing.assert_array_equal(
        distance.nearest_neighbors(x_scaled, y_scaled, 5, "cosine")[0], distance.nearest_neighbors(x, y, 5, "cosine")[0]
    )


def test_equal_distances_are_ordered_by_index():
    x, y = _search_data()
    x, y = np.round(x[:, :2]), np.round(y[:, :2])  # a small grid: exact arithmetic and many ties
    x, y = (np.repeat(a, SEARCH_SHAPE[2] // 2, 1) for a in (x, y))
    for k in (5, len(y)):
        near, index = distance.nearest_neighbors(x, y, k)
        exact = _reference(x, y, "euclidean")
        np.testing.assert_array_equal(index, np.argsort(exact, 1, kind="stable")[:, :k])
        np.testing.assert_allclose(near, np.sort(exact, 1)[:, :k], rtol=1e-6)


def test_neighbors_in_a_crowd_of_near_duplicates_are_exact():
    # 150 gallery rows within 1e-5 of each query's place: more than are proposed, and closer than a product can tell.
    random = np.random.default_rng(3)
    x, y = _search_data()
    x[:] = x[0] * 30
    y[:150] = x[0] + 1e-5 * random.normal(size=(150, SEARCH_SHAPE[2])).astype(np.float32)
    near, index = distance.nearest_neighbors(x, y, 5)
    exact = _reference(x, y, "euclidean")
    expected = np.sort(exact, 1)[:, :5]
    np.testing.assert_allclose(near, expected, rtol=1e-6)
    np.testing.assert_array_equal(
        np.take_along_axis(exact, np.asarray(index), 1).astype(np.float32), expected.astype(np.float32)
    )
    assert (np.asarray(index) == np.argsort(exact, 1, kind="stable")[:, :5]).mean() > 0.9  # near-ties may swap


@pytest.mark.parametrize("n", [13, 16])  # 16 rows are spread evenly, and stay where they are
def test_the_number_of_devices_does_not_change_results(n):
    assert jax.local_device_count() == 8
    x, y = np.resize(_search_data(6)[0], (n, SEARCH_SHAPE[2])), np.resize(_search_data(6)[1], (256, SEARCH_SHAPE[2]))
    nearest = partial(distance.nearest_neighbors, k=5)
    for function, gallery in ((nearest, y), (distance.pairwise_distance, y), (distance.paired_distance, y[:n])):
        many, one = function(x, gallery), jax.jit(function)(x, gallery)  # a trace spreads nothing
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6, atol=3e-7), many, one)
        assert {len(array.devices()) for array in jax.tree.leaves(many)} == {8 if n == 16 else 1}


def test_features_that_are_already_sharded_are_accepted():
    x, y = _search_data(7)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])
    placed = jax.device_put(x[:12], jax.NamedSharding(mesh, jax.P("data")))
    near, index = distance.nearest_neighbors(placed, y, 5)
    expected = distance.nearest_neighbors(x[:12], y, 5)
    np.testing.assert_array_equal(index, expected[1])
    np.testing.assert_allclose(near, expected[0], rtol=1e-6)


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int32, np.uint8, jnp.bfloat16])
def test_any_real_type_is_taken_as_float32(kind):
    x = np.arange(12).reshape(3, 4).astype(kind)
    result = distance.paired_distance(x, x[::-1])
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, [16, 0, 16])


def test_features_are_at_distance_zero_from_themselves():
    _, y = _search_data()
    np.testing.assert_array_equal(distance.pairwise_distance(y[:13], y).diagonal(), 0)
    np.testing.assert_array_equal(distance.nearest_neighbors(y[:13], y, 1)[0], 0)


GOOD = np.ones((4, 3), np.float32)
BAD = np.array([[1, 2, 3], [1, np.nan, 3]], np.float32)
INFINITE = np.array([[1, 2, np.inf]], np.float32)


@pytest.mark.parametrize("function", [distance.paired_distance, distance.pairwise_distance])
@pytest.mark.parametrize(
    ("x", "y", "text"),
    [
        (np.ones((0, 3)), np.ones((0, 3)), r"x_nd must be a matrix of at least one row and one column.*\(0, 3\)"),
        (np.ones((4, 0)), np.ones((4, 0)), "at least one row and one column"),
        (np.ones(3), GOOD, r"x_nd must be a matrix .* got shape \(3,\)"),
        (GOOD, np.ones((4, 5)), r"y_nd \(4, 5\)|y_md \(4, 5\)"),
        (BAD, BAD, "x_nd holds NaN, infinite .* first in row 1"),
        (np.ones((1, 3)), INFINITE, "y_[nm]d holds NaN, infinite .* first in row 0"),
        (np.full((1, 3), 1e300), np.ones((1, 3)), "x_nd holds .* larger than float32"),
        (np.array([["a"]]), np.array([["b"]]), "x_nd must hold real numbers"),
        (np.array([[1j]]), np.array([[1j]]), "x_nd must hold real numbers"),
    ],
)
def test_bad_features_are_refused(function, x, y, text):
    with pytest.raises(ValueError, match=text):
        function(x, y)


def test_paired_features_must_have_one_length():
    with pytest.raises(ValueError, match=r"one shape, got x_nd \(4, 3\) and y_nd \(3, 3\)"):
        distance.paired_distance(GOOD, GOOD[:3])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"k": 5}, "k must be a whole number from 1 to the gallery's 4 rows, got 5"),
        ({"k": 0}, "k must be a whole number from 1"),
        ({"k": 1.5}, "k must be a whole number from 1"),
        ({"k": 1, "metric": "cosin"}, r"unknown metric 'cosin'.*Did you mean 'cosine'\?"),
    ],
)
def test_bad_searches_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        distance.nearest_neighbors(GOOD, GOOD, **options)
    with pytest.raises(ValueError, match="query_nd holds NaN"):
        distance.nearest_neighbors(BAD, GOOD, 1)


@pytest.mark.parametrize("metric", distance.METRICS)
def test_every_distance_lowers_for_accelerators(metric):
    rows, gallery = jax.ShapeDtypeStruct((40, 16), jnp.float32), jax.ShapeDtypeStruct((900, 16), jnp.float32)
    calls = (
        (partial(distance.paired_distance, metric=metric), (rows, rows)),
        (partial(distance.pairwise_distance, metric=metric, unit_length=True), (rows, gallery)),
        (partial(distance.nearest_neighbors, k=5, metric=metric), (rows, gallery)),
    )
    for function, arguments in calls:
        exported = jax.export.export(jax.jit(function), platforms=["cpu", "cuda", "tpu"])(*arguments)
        assert exported.platforms == ("cpu", "cuda", "tpu")


def test_a_second_call_of_one_shape_compiles_nothing():
    x, y = _search_data(8)
    distance.nearest_neighbors(x, y, 5)
    distance.paired_distance(x, x)
    with jax.no_tracing():
        distance.nearest_neighbors(y[:13], y, 5)
        distance.paired_distance(x, x)


def test_ops_import_nothing_else_of_the_project():
    for path in sorted(Path(distance.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            foreign = [name for name in names if name.startswith(("mtsccd_jax", "tfds_builders"))]
            assert all(name.startswith("mtsccd_jax.ops") for name in foreign), f"{path.name} imports {foreign}"
