"""k-means against scikit-learn's and against plain float64 iterations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from mtsccd_jax.ops import kmeans


def _blobs(n: int, width: int, centers: int, spread: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (
        random.standard_normal((centers, width))[random.integers(0, centers, n)]
        + spread * random.standard_normal((n, width))
    ).astype(np.float32)


def _distances(point_nd: np.ndarray, center_kd: np.ndarray) -> np.ndarray:
    """Compute squared distances (n, k) in float64, by differences."""
    return np.square(point_nd.astype(np.float64)[:, None] - np.asarray(center_kd, np.float64)).sum(-1)


@pytest.mark.parametrize(
    ("point", "k"),
    [
        (_blobs(600, 8, 12, 0.6), 12),
        (_blobs(500, 20, 5, 1.5), 16),
        (np.maximum(_blobs(600, 16, 10, 1.0), 0), 8),
        (_blobs(500, 8, 6, 1.2) + 1000, 6),
    ],
    ids=["blobs", "noise", "rectified", "far from the origin"],
)
def test_inertia_is_that_of_scikit_learn(point, k):
    ours = [kmeans.fit_kmeans(point, k, seed).inertia for seed in range(8)]
    peers = [KMeans(k, n_init=1, random_state=seed, max_iter=100).fit(point).inertia_ for seed in range(8)]
    # Single runs end in local minima; the best of several and what a run finds on average are what compares.
    assert min(ours) <= 1.01 * min(peers)
    assert np.mean(ours) <= 1.03 * np.mean(peers)


def test_result_is_a_fixed_point_and_its_inertia_is_exact():
    point = _blobs(700, 10, 6, 0.8) + 50
    found = kmeans.fit_kmeans(point, 6, 1, tolerance=0)
    distance = _distances(point, found.center_kd)
    assert found.inertia == pytest.approx(distance.min(1).sum(), rel=1e-5)
    label = distance.argmin(1)
    np.testing.assert_allclose(found.center_kd, [point[label == k].mean(0) for k in range(6)], atol=1e-4)
    np.testing.assert_array_equal(kmeans.nearest_center(point, found.center_kd), label)


@pytest.fixture
def begin(monkeypatch):
    """Return a function that sets where k-means begins; no program compiled with it outlives the test."""

    def with_seeds(seeds):
        monkeypatch.setattr(kmeans, "_seeds", seeds)
        kmeans._program.cache_clear()

    yield with_seeds
    kmeans._program.cache_clear()


def test_iterations_are_those_of_scikit_learn(begin):
    point = _blobs(400, 6, 8, 1.0)
    start = point[:8]
    begin(lambda points, rows, n, key, k, axis: points.point_brd.reshape(-1, 6)[:8])
    for limit in (1, 4, 100):
        peer = KMeans(8, init=start, n_init=1, max_iter=limit).fit(point.astype(np.float64))
        found = kmeans.fit_kmeans(point, 8, max_iterations=limit)
        assert found.iterations == peer.n_iter_
        np.testing.assert_allclose(found.center_kd, peer.cluster_centers_, atol=1e-4)
        assert found.inertia == pytest.approx(peer.inertia_, rel=1e-5)


def test_an_empty_cluster_takes_the_farthest_point(begin):
    point = np.concatenate([_blobs(60, 3, 1, 0.1), _blobs(60, 3, 1, 0.1, seed=1) + 5, [[40, 0, 0], [0, 60, 0]]])
    point = point.astype(np.float32)
    start = np.stack([point[0], point[60], np.full(3, 900), np.full(3, 990)]).astype(np.float32)
    begin(lambda points, rows, n, key, k, axis: jnp.asarray(start - point.mean(0)))
    found = kmeans.fit_kmeans(point, 4, max_iterations=20)
    peer = KMeans(4, init=start, n_init=1, max_iter=20).fit(point)
    assert found.inertia == pytest.approx(peer.inertia_, rel=1e-4)
    assert np.bincount(kmeans.nearest_center(point, found.center_kd), minlength=4).min() == 1


@pytest.mark.parametrize("offset", [0, 100])
@pytest.mark.parametrize("tolerance", [1e-4, 0])
@pytest.mark.parametrize("spread", [0, 0.01, 3])
def test_fewer_distinct_points_than_clusters_end_on_the_points(spread, tolerance, offset):
    random = np.random.default_rng(0)
    distinct = np.concatenate([np.zeros((1, 32)), np.abs(random.normal(size=(100, 32)))]) + offset
    distinct[1:] += spread * random.normal(size=(100, 32))
    distinct = distinct.astype(np.float32)
    point = distinct[np.append(np.zeros(3900, int), np.arange(1, 101))]
    with pytest.warns(ConvergenceWarning, match="distinct clusters"):
        peer = KMeans(128, n_init=1, random_state=0).fit(point)
    found = kmeans.fit_kmeans(point, 128, tolerance=tolerance)
    assert found.iterations <= peer.n_iter_ + 1
    away = np.abs(np.asarray(found.center_kd)[:, None] - distinct).max(-1)
    np.testing.assert_allclose(away.min(1), 0, atol=3e-6 * np.abs(point).max())
    assert set(away.argmin(1)) == set(range(101))


def test_blocks_change_the_rounding_alone(monkeypatch):
    point = _blobs(500, 8, 6, 0.7)
    whole = kmeans.fit_kmeans(point, 6, 3)
    monkeypatch.setattr(kmeans, "_BLOCK_ROWS", 64)  # eight blocks of 63, four rows of padding
    parts = kmeans.fit_kmeans(point, 6, 3)
    assert parts.inertia == pytest.approx(whole.inertia, rel=1e-5)
    np.testing.assert_allclose(parts.center_kd, whole.center_kd, atol=1e-4)


def test_seed_decides():
    point = _blobs(300, 8, 20, 1.0)
    first, again, other = (kmeans.fit_kmeans(point, 10, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.center_kd, again.center_kd)
    assert np.abs(np.asarray(first.center_kd) - np.asarray(other.center_kd)).max() > 0.01


def test_edge_shapes():
    point = _blobs(20, 3, 4, 1.0)
    one = kmeans.fit_kmeans(point, 1)
    np.testing.assert_allclose(one.center_kd[0], point.mean(0), atol=1e-6)
    every = kmeans.fit_kmeans(point, 20)
    assert every.inertia == pytest.approx(0, abs=1e-4)
    same = kmeans.fit_kmeans(np.ones((10, 2)), 3)  # fewer distinct points than clusters
    np.testing.assert_array_equal(same.center_kd, np.ones((3, 2)))
    assert same.inertia == 0
    assert kmeans.fit_kmeans([[1.0], [2.0], [9.0], [9.5]], 2).inertia == pytest.approx(0.625)


def test_nearest_center_is_exact_and_takes_the_first_among_equals():
    point = _blobs(300, 12, 4, 1.0) + 100
    center = _blobs(9, 12, 9, 1.0, seed=1) + 100
    found = jax.jit(kmeans.nearest_center)(point, center)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, _distances(point, center).argmin(1))
    assert kmeans.nearest_center(np.zeros((1, 2), np.float32), np.array([[1, 0], [0, 1.0], [0, -1]])).tolist() == [0]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: kmeans.fit_kmeans([1.0, 2.0], 1), "point_nd must be a matrix"),
        (lambda: kmeans.fit_kmeans(np.zeros((3, 2)), 4), "k must be from 1 to the number of points, 3, got 4"),
        (lambda: kmeans.fit_kmeans(np.zeros((3, 2)), 0), "got 0"),
        (lambda: kmeans.fit_kmeans([[0.0], [np.inf]], 1), "first in row 1"),
        (lambda: kmeans.fit_kmeans([["a"]], 1), "point_nd must hold real numbers"),
        (lambda: kmeans.fit_kmeans([[0.0]], 1, max_iterations=0), "max_iterations must be at least 1, got 0"),
        (lambda: kmeans.fit_kmeans([[0.0]], 1, tolerance=-1), "tolerance must not be negative, got -1"),
    ],
)
def test_bad_input_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize("distinct", [1000, 5])  # with fewer than clusters, empty ones are filled
def test_where_points_lie_does_not_matter(distinct):
    point = _blobs(1000, 6, 8, 0.4)[np.arange(1000) % distinct]
    order = np.random.default_rng(0).permutation(np.arange(-2, 1000).clip(-1))  # two rows are no points
    spread = np.where(order[:, None] >= 0, point[order], 7)
    mesh = jax.make_mesh((2,), ("row",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    one = kmeans.fit_kmeans(point, 8)
    for placed in (spread, jax.device_put(spread, jax.NamedSharding(mesh, jax.P("row")))):
        other = kmeans.fit_kmeans(placed, 8, order_n=order)
        assert other.inertia == pytest.approx(one.inertia, rel=1e-5, abs=1e-3)
        if distinct > 8:
            np.testing.assert_allclose(other.center_kd, one.center_kd, atol=1e-5)
