"""k-means: greedy k-means++ seeds and Lloyd's iterations, on the device and in blocks.

The rules are those of scikit-learn's `KMeans`, so that inertias are comparable. A seed is the best of 2 + log k draws.
The iterations end when no point changes its cluster, or when the centres move by less than a share of the data's
variance. An empty cluster gets the point that is farthest from its centre; where all points lie on their centres, as
with fewer distinct points than clusters, it shares the centre of the largest cluster.

Points are centred first: distances come from a matrix product, whose rounding error grows with the distance from the
origin. The sums over the clusters are updated by the points that change their cluster, which soon are few. These
updates are products with a one-hot matrix, because a float32 scatter-add is hundreds of times slower on some GPUs.

Where several devices share the points, these stay there: sums over the clusters and distances to the nearest centre are
handed round, and of the points the seeds alone.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike
from jaxtyping import Float32, Int32, Integer, Real

from mtsccd_jax.ops.calls import (
    check_at_least_one,
    divided,
    gathered,
    leading,
    of_first,
    own_settings,
    padded,
    real_rows,
    row_bucket,
    row_mesh,
    total,
)
from mtsccd_jax.ops.distance_kernels import product

_BLOCK_ROWS = 2048
_ON_CENTER = 1e-10  # of the largest squared length: a point closer than this lies on its centre, up to rounding


class KMeans(NamedTuple):
    """A clustering."""

    center_kd: Float32[Array, "k d"]
    inertia: float  # the sum over the points of the squared distance to their nearest centre
    iterations: int  # Lloyd's


class _Points(NamedTuple):
    """The centred points in blocks, padded with zeros; of devices that share them, those of one."""

    point_brd: Array
    square_n: Array  # squared lengths
    real_n: Array


class _Clusters(NamedTuple):
    """The label of every point, `k` in the padding, and the sum and size of every cluster on all devices."""

    label_n: Array
    total_kd: Array
    count_k: Array


class _Lloyd(NamedTuple):
    center_kd: Array
    clusters: _Clusters
    shift: Array  # summed squared movement of the centres
    settled: Array  # no point changed its cluster
    iteration: Array


@own_settings()
def fit_kmeans(
    point_nd: Real[ArrayLike, "n d"],
    k: int,
    seed: int = 0,
    *,
    order_n: Integer[ArrayLike, " n"] | None = None,
    max_iterations: int = 100,
    tolerance: float = 1e-4,
) -> KMeans:
    """Find k centres by k-means++ seeds and Lloyd's iterations.

    Args:
        point_nd: real numbers, used as float32. Where devices, also of several processes, share its rows (one axis of a
            mesh), all of them work, each on its own rows, and all processes must call this.
        k: the number of clusters, from 1 to the number of points.
        seed: of the random draws.
        order_n: the place of every row in the order that points are drawn from, so that it does not matter where they
            lie; -1 where a row is no point, such as one that makes the rows divide over devices. None for their own.
        max_iterations: of Lloyd's iterations, at least 1.
        tolerance: of the summed squared movement of the centres, relative to the mean variance of the features.

    Raises:
        ValueError: empty input, NaN or infinite values, unequal lengths, k outside 1 to the number of points, no
            iteration, a negative tolerance.
    """
    point_nd = real_rows("point_nd", point_nd)
    order = np.arange(len(point_nd)) if order_n is None else np.asarray(order_n)
    if order.shape != (len(point_nd),):
        raise ValueError(f"point_nd and order_n must have one length, got {len(point_nd)} and shape {order.shape}")
    n = int((order >= 0).sum())
    if not 1 <= k <= n:
        raise ValueError(f"k must be from 1 to the number of points, {n}, got {k}")
    check_at_least_one(max_iterations=max_iterations)
    if not tolerance >= 0:
        raise ValueError(f"tolerance must not be negative, got {tolerance}")
    mesh, limits = row_mesh(point_nd), (np.int32(max_iterations), np.float32(tolerance))
    rows = len(order) if mesh else row_bucket(len(order))
    order = np.pad(order, (0, rows - len(order)), constant_values=-1)
    real_n = order >= 0
    row_n = np.lexsort((order, ~real_n)).astype(np.int32)
    points = padded(point_nd, rows), divided(real_n, mesh), row_n
    with jax.enable_x64(True):
        center_kd, inertia, iterations = _program(mesh, k)(*points, jax.random.key(seed), *limits)
    return KMeans(jax.device_put(np.asarray(center_kd)), float(inertia), int(iterations))


@own_settings()
def nearest_center(point_nd: Real[ArrayLike, "n d"], center_kd: Real[ArrayLike, "k d"]) -> Int32[Array, " n"]:
    """Return the index of each point's nearest centre, the lowest among equals; works inside `jit`.

    Distances are resolved down to the rounding of float32 products around the mean of the centres.

    Raises:
        ValueError: empty input, unequal widths, or (outside `jit`) NaN or infinite values.
    """
    center_kd = real_rows("center_kd", center_kd)
    point_nd = real_rows("point_nd", point_nd, center_kd.shape[1])
    n = len(point_nd)
    rows = n if isinstance(point_nd, jax.core.Tracer) else row_bucket(n)
    index_n: Array = _nearest(padded(point_nd, rows), center_kd)
    return leading(index_n, n)


@jax.jit
def _nearest(point_nd: Array, center_kd: Array) -> Array:
    origin_d = jnp.mean(center_kd, 0)
    return _lowest(_scores(point_nd - origin_d, center_kd - origin_d))[0]


@lru_cache(maxsize=64)
def _program(mesh: Mesh | None, k: int) -> Callable[..., tuple[Array, Array, Array]]:
    """Return the program for k clusters on one device, or on those of a mesh of one axis that share the points."""
    if mesh is None:
        return jax.jit(partial(_fit, k=k))
    (axis,) = mesh.axis_names
    inputs = (P(axis), P(axis), P(), P(), P(), P())
    call = partial(_fit, k=k, axis=axis)
    return jax.jit(jax.shard_map(call, mesh=mesh, in_specs=inputs, out_specs=P(), check_vma=False))


def _fit(
    point_nd: Array,
    real_n: Array,
    row_n: Array,
    key: Array,
    most: Array,
    tolerance: Array,
    k: int,
    axis: str | None = None,
) -> tuple[Array, Array, Array]:
    """Return `(center_kd, inertia, iterations)` for the real points; the others are padding.

    `row_n` are the rows of all devices in the order that seeds are drawn from, the padding last.
    """
    length, d = point_nd.shape
    blocks = -(-length // _BLOCK_ROWS)
    rows = -(-length // blocks)
    row_n = row_n // length * (blocks * rows) + row_n % length  # each device pads its own
    real_n = jnp.pad(real_n, (0, blocks * rows - length))
    point_nd = jnp.where(real_n[:, None], jnp.pad(point_nd, ((0, blocks * rows - length), (0, 0))), 0)
    n = total(real_n.sum(dtype=jnp.int32), axis)
    origin_d = total(jnp.sum(point_nd, 0), axis) / n.astype(jnp.float32)
    point_nd = jnp.where(real_n[:, None], point_nd - origin_d, 0)
    square_n = jnp.sum(jnp.square(point_nd), 1)
    points = _Points(point_nd.reshape(blocks, rows, d), square_n, real_n)
    goal = of_first(tolerance * total(jnp.sum(square_n), axis) / (n.astype(jnp.float32) * d), axis)

    def going(state: _Lloyd) -> Array:
        return ~state.settled & (state.shift > goal) & (state.iteration < most)

    def improve(state: _Lloyd) -> _Lloyd:
        label_n, distance_n = _assign(points, state.center_kd)
        clusters = _follow(points, state.clusters, label_n, axis)
        center_kd = _centers(points, clusters, state.center_kd, distance_n, axis)
        shift = of_first(jnp.sum(jnp.square(center_kd - state.center_kd)), axis)
        settled = total(jnp.sum(label_n != state.clusters.label_n), axis) == 0
        return _Lloyd(center_kd, clusters, shift, settled, state.iteration + 1)

    nowhere_n = jnp.where(points.real_n, -1, k).astype(jnp.int32)
    none = _Clusters(nowhere_n, jnp.zeros((k, d), jnp.float32), jnp.zeros(k, jnp.int32))
    start = _Lloyd(_seeds(points, row_n, n, key, k, axis), none, jnp.float32(jnp.inf), jnp.bool_(False), jnp.int32(0))
    end = lax.while_loop(going, improve, start)
    inertia = total(jnp.sum(_assign(points, end.center_kd)[1], dtype=jnp.float64), axis)
    return end.center_kd + origin_d, inertia, end.iteration


def _assign(points: _Points, center_kd: Array) -> tuple[Array, Array]:
    """Return `(label_n, squared distance_n)` of the nearest centre; k and 0 in the padding."""

    def one_block(point_rd: Array) -> tuple[Array, Array]:
        return _lowest(_scores(point_rd, center_kd))

    label_br, score_br = lax.map(one_block, points.point_brd)
    label_n = jnp.where(points.real_n, label_br.ravel(), len(center_kd))
    distance_n = jnp.maximum(points.square_n + 2 * score_br.ravel(), 0)
    return label_n, jnp.where(points.real_n, distance_n, 0)


def _scores(point_nd: Array, center_kd: Array) -> Array:
    """Return half the squared distance less that of the point to the origin, (n, k)."""
    return jnp.sum(jnp.square(center_kd), 1) / 2 - product(point_nd, center_kd)


def _lowest(score_nk: Array) -> tuple[Array, Array]:
    """Return `(index int32, value)` of the lowest of every row, the first among equals.

    Two plain minima are vectorised; the pairs that an argmin carries are not.
    """
    k = score_nk.shape[1]
    value_n = jnp.min(score_nk, 1)
    index_nk = jnp.where(score_nk == value_n[:, None], jnp.arange(k, dtype=jnp.int32), k - 1)
    return jnp.min(index_nk, 1), value_n


def _follow(points: _Points, clusters: _Clusters, label_n: Array, axis: str | None) -> _Clusters:
    """Return the clusters of new labels: add the points that came to a cluster, subtract those that left."""
    blocks, rows, d = points.point_brd.shape
    point_nd, k = points.point_brd.reshape(-1, d), len(clusters.count_k)
    moved_n = label_n != clusters.label_n
    (which,) = jnp.nonzero(moved_n, size=blocks * rows, fill_value=blocks * rows)

    def signs(label_n: Array, row_r: Array) -> Array:
        label_r = label_n.at[row_r].get(mode="fill", fill_value=k)
        return (label_r[:, None] == jnp.arange(k)).astype(jnp.float32)

    def one_block(block: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        row_r = lax.dynamic_slice_in_dim(which, block * rows, rows)
        sign_rk = signs(label_n, row_r) - signs(clusters.label_n, row_r)
        point_rd = point_nd.at[row_r].get(mode="fill", fill_value=0)
        change = lax.dot_general(sign_rk, point_rd, (((0,), (0,)), ((), ())), precision=lax.Precision.HIGHEST)
        return sums[0] + change, sums[1] + sign_rk.sum(0).astype(jnp.int32)

    none = jnp.zeros_like(clusters.total_kd), jnp.zeros_like(clusters.count_k)
    total_kd, count_k = lax.fori_loop(0, -(-moved_n.sum() // rows), one_block, none)
    return _Clusters(label_n, clusters.total_kd + total(total_kd, axis), clusters.count_k + total(count_k, axis))


def _centers(points: _Points, clusters: _Clusters, assigned_kd: Array, distance_n: Array, axis: str | None) -> Array:
    """Return the mean of every cluster, whose points are those nearest to the `assigned_kd`.

    An empty one takes the farthest point left from the cluster that has it, or shares the centre of the largest.
    """
    label_n, total_kd, count_k = clusters
    k = len(count_k)

    def fill(_: None) -> tuple[Array, Array]:
        empty_k = jnp.nonzero(count_k == 0, size=k, fill_value=k)[0]
        far_k = lax.top_k(gathered(distance_n, axis), k)[1]
        point_kd, far_label_k = _points_at(points, far_k, axis), gathered(label_n, axis)[far_k]
        square_k = jnp.sum(jnp.square(point_kd - assigned_kd[far_label_k]), 1)
        away_k = square_k > _ON_CENTER * jnp.max(gathered(jnp.max(points.square_n)[None], axis))
        taken_k = away_k & (jnp.arange(k) < jnp.sum(count_k == 0))
        one_hot = jnp.arange(k)[:, None]
        given_kk = ((empty_k == one_hot) & taken_k).astype(jnp.float32)  # cluster that gets, point that is taken
        change_kk = given_kk - ((far_label_k == one_hot) & taken_k)
        moved = lax.dot_general(change_kk, point_kd, (((1,), (0,)), ((), ())), precision=lax.Precision.HIGHEST)
        return total_kd + moved, count_k + change_kk.sum(1).astype(jnp.int32)

    sums: tuple[Array, Array] = lax.cond(jnp.any(count_k == 0), fill, lambda _: (total_kd, count_k), None)
    total_kd, count_k = sums
    mean_kd = total_kd / jnp.maximum(count_k, 1).astype(jnp.float32)[:, None]
    return jnp.where(count_k[:, None] > 0, mean_kd, mean_kd[jnp.argmax(count_k)])


def _points_at(points: _Points, row_t: Array, axis: str | None) -> Array:
    """Return the centred points (t, d) of some rows, counted over all devices."""
    point_nd = points.point_brd.reshape(-1, points.point_brd.shape[2])
    if axis is None:
        return point_nd[row_t]
    here_t = row_t - lax.axis_index(axis) * len(point_nd)
    is_here_t = (here_t >= 0) & (here_t < len(point_nd))
    return total(jnp.where(is_here_t[:, None], point_nd[here_t], 0), axis)  # the others add zeros


def _seeds(points: _Points, row_n: Array, n: Array, key: Array, k: int, axis: str | None) -> Array:
    """Choose seeds by greedy k-means++: of some points drawn by squared distance, the one that leaves the least.

    Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007, section 2.2 and its end.
    """
    point_nd = points.point_brd.reshape(-1, points.point_brd.shape[2])
    draws = 2 + int(np.log(k))

    def squared(point_td: Array) -> Array:
        """Return the squared distances (t, n) of all points of the device to a few; 0 in the padding."""
        lengths_tn = jnp.sum(jnp.square(point_td), 1)[:, None] + points.square_n
        square_tn = lengths_tn - 2 * product(point_td, point_nd)
        return jnp.where(points.real_n, jnp.maximum(square_tn, 0), 0)

    def add(index: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        seed_kd, nearest_n = state
        reached_n = jnp.cumsum(gathered(nearest_n, axis)[row_n], dtype=jnp.float64)
        place_t = jax.random.uniform(jax.random.fold_in(key, index), (draws,), jnp.float64) * reached_n[-1]
        place_t = jnp.minimum(jnp.searchsorted(reached_n, place_t, side="right"), n - 1)
        point_td = _points_at(points, row_n[of_first(place_t, axis)], axis)
        nearest_tn = jnp.minimum(nearest_n, squared(point_td))
        best = of_first(jnp.argmin(total(jnp.sum(nearest_tn, 1, dtype=jnp.float64), axis)), axis)
        return seed_kd.at[index].set(point_td[best]), nearest_tn[best]

    first_d = _points_at(points, row_n[jax.random.randint(key, (1,), 0, n, jnp.int32)], axis)
    start = jnp.zeros((k, point_nd.shape[1]), jnp.float32).at[0].set(first_d[0]), squared(first_d)[0]
    seed_kd: Array = lax.fori_loop(1, k, add, start)[0]
    return seed_kd
