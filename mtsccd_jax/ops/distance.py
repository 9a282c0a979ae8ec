"""Distances between feature vectors that keep float32 accuracy where the usual formula loses it.

The Gram formula |x|^2 + |y|^2 - 2 x.y cancels: two 512-D features that differ by 1e-4 come out at distance 0.0. Here
every number that is returned from `paired_distance` and `nearest_neighbors` is a sum of squared differences, and a matrix
product only decides which differences are worth taking; `pairwise_distance` keeps the product where it is accurate and
replaces it where it is not.

Metrics: `euclidean`, and `cosine` = 1 - cos(angle), in [0, 2], computed from the sine for small angles. With
`unit_length=True` features are first scaled to length 1 (for `cosine` that changes nothing). A zero vector has no
direction; it is taken as a direction of its own, orthogonal to every other: cosine distance 0 to another zero vector and
1 to everything else, and under `unit_length` 0 and sqrt(2).

Features are real numbers, taken as float32. Under `jit` all functions trace and lower for CPU, CUDA and TPU; values
cannot be refused there, so NaN gives NaN. Called on plain arrays, rows spread over all devices of the process; the
result is the same on any number of them.
"""

import difflib
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike

METRICS = ("euclidean", "cosine")

# A squared distance below this share of |x|^2 + |y|^2 has lost too many digits in the matrix product.
_CANCELLED = 0.1
# Rounding of a d-term inner product, relative to |x||y|: sqrt(d) units with a margin (Higham and Mary, "A new approach to
# probabilistic rounding error analysis", 2019), and a few units for the terms around it.
_ROUNDING_MARGIN = 8.0
_EPS = float(np.finfo(np.float32).eps)
# Slack for the rounding of a unit vector, in distance.
_UNIT_SLACK = 16 * _EPS
_BLOCK_ELEMENTS = 1 << 21  # gathered at once by the exact passes: 8 MiB of float32, about a core's cache
_REPAIR_ROWS, _REPAIR_COLUMNS = 32, 128


class _Space(NamedTuple):
    """What is measured, once `metric` and `unit_length` are read together (hashable: a static argument)."""

    angular: bool  # distances of directions; False: plain Euclidean
    square_root: bool  # return sqrt(2 x cosine distance), the Euclidean distance of the unit vectors


def paired_distance(
    x_nd: ArrayLike, y_nd: ArrayLike, metric: str = "euclidean", *, unit_length: bool = False
) -> jax.Array:
    """Distance of each row of `x_nd` to the same row of `y_nd`: (n,) float32, by the direct difference.

    Raises:
        ValueError: empty input, unequal shapes, NaN or infinite values, an unknown metric.
    """
    space = _space(metric, unit_length)
    x_nd, y_nd = _features("x_nd", x_nd), _features("y_nd", y_nd)
    if x_nd.shape != y_nd.shape:
        raise ValueError(f"paired features must have one shape, got x_nd {x_nd.shape} and y_nd {y_nd.shape}")
    return _over_rows(partial(_paired, space=space), (x_nd, y_nd), ())


def pairwise_distance(
    x_nd: ArrayLike,
    y_md: ArrayLike,
    metric: str = "euclidean",
    *,
    unit_length: bool = False,
    chunk: int = 1024,
) -> jax.Array:
    """Distances of every row of `x_nd` to every row of `y_md`: (n, m) float32.

    A full-precision matrix product, and direct differences for the tiles that hold a pair it cannot resolve. `chunk` is
    the number of rows of `x_nd` worked on at once; it bounds memory beyond the result and does not change results.

    Raises:
        ValueError: empty input, unequal widths, NaN or infinite values, an unknown metric.
    """
    space = _space(metric, unit_length)
    x_nd, y_md = _features("x_nd", x_nd), _features("y_md", y_md)
    _check_widths("x_nd", x_nd, "y_md", y_md)
    _check_positive("chunk", chunk)
    return _over_rows(partial(_pairwise, space=space, chunk=chunk), (x_nd,), (y_md,))


def nearest_neighbors(
    query_nd: ArrayLike,
    gallery_md: ArrayLike,
    k: int,
    metric: str = "euclidean",
    *,
    unit_length: bool = False,
    query_chunk: int = 512,
    gallery_chunk: int = 32768,
) -> tuple[jax.Array, jax.Array]:
    """`(distance_nk ascending, index_nk int32)` of the k nearest gallery rows of each query; exact, ties by index.

    A matrix product over the centred features proposes candidates, and their direct differences decide. Each query is
    then certified: the product's error bound must rule out every row that was not proposed. Queries that are not (many
    near-duplicates at one place) are compared with the whole gallery by direct differences: slower, and just as exact.

    Memory beyond inputs and result: one centred copy of the gallery and query_chunk x gallery_chunk scores; neither
    chunk changes results.

    Raises:
        ValueError: empty input, unequal widths, k < 1 or above the gallery's size, NaN or infinite values, an unknown
            metric.
    """
    space = _space(metric, unit_length)
    query_nd, gallery_md = _features("query_nd", query_nd), _features("gallery_md", gallery_md)
    _check_widths("query_nd", query_nd, "gallery_md", gallery_md)
    _check_positive("query_chunk", query_chunk)
    _check_positive("gallery_chunk", gallery_chunk)
    if k != int(k) or not 1 <= k <= len(gallery_md):
        raise ValueError(f"k must be a whole number from 1 to the gallery's {len(gallery_md)} rows, got {k}")
    search = partial(_nearest, k=int(k), space=space, query_chunk=query_chunk, gallery_chunk=gallery_chunk)
    return _over_rows(search, (query_nd,), (gallery_md,))


# Checks


def _space(metric: str, unit_length: bool) -> _Space:
    if metric not in METRICS:
        close = difflib.get_close_matches(str(metric), METRICS, n=1, cutoff=0.4)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"unknown metric {metric!r}, known are {', '.join(METRICS)}.{hint}")
    return _Space(angular=metric == "cosine" or unit_length, square_root=metric == "euclidean")


def _features(name: str, value: ArrayLike) -> jax.Array:
    """The argument as a float32 matrix with at least one row and one column; finite, where values are known."""
    given = value if isinstance(value, jax.Array) else np.asarray(value)
    if given.ndim != 2 or 0 in given.shape:
        raise ValueError(f"{name} must be a matrix of at least one row and one column, got shape {given.shape}")
    if not (jnp.issubdtype(given.dtype, jnp.floating) or jnp.issubdtype(given.dtype, jnp.integer)):
        raise ValueError(f"{name} must hold real numbers, got {given.dtype}")
    feature = jnp.asarray(given, jnp.float32)
    if not isinstance(feature, jax.core.Tracer) and not bool(_all_finite(feature)):
        row = int(np.argmin(np.isfinite(np.asarray(feature)).all(1)))
        raise ValueError(f"{name} holds NaN, infinite or larger than float32 values, first in row {row}")
    return feature


@jax.jit
def _all_finite(x: jax.Array) -> jax.Array:
    return jnp.isfinite(jnp.max(jnp.abs(x)))  # the maximum carries NaN along, and reduces faster than `all`


def _check_widths(x_name: str, x_nd: jax.Array, y_name: str, y_md: jax.Array) -> None:
    if x_nd.shape[1] != y_md.shape[1]:
        raise ValueError(f"features must have one width, got {x_name} {x_nd.shape} and {y_name} {y_md.shape}")


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


# Devices


def _over_rows(kernel: Callable[..., Any], rows: tuple[jax.Array, ...], shared: tuple[jax.Array, ...]) -> Any:
    """`kernel(*rows, *shared)`, its rows spread over the devices of this process, `shared` copied to each.

    Inside a trace the caller's own sharding rules.
    """
    n = len(rows[0])
    devices = tuple(jax.local_devices())[:n]
    if any(isinstance(array, jax.core.Tracer) for array in (*rows, *shared)) or len(devices) == 1:
        return _compiled(_Kernel(kernel), len(rows), len(shared), None)(*rows, *shared)
    mesh = Mesh(np.array(devices), ("row",), axis_types=(AxisType.Auto,))
    padding = -n % len(devices)  # the last row again: a row the kernel has met
    rows = tuple(jnp.pad(array, ((0, padding), (0, 0)), mode="edge") for array in rows)
    rows = jax.device_put(rows, jax.NamedSharding(mesh, P("row")))
    shared = jax.device_put(shared, jax.NamedSharding(mesh, P()))
    result = _compiled(_Kernel(kernel), len(rows), len(shared), mesh)(*rows, *shared)
    return jax.tree.map(lambda array: array[:n], result)


class _Kernel:
    """A partial that compares by what it calls and with what, so that compiled programs are found again."""

    def __init__(self, call: Callable[..., Any]):
        assert isinstance(call, partial)
        self.call = call
        self.identity = (call.func, tuple(sorted(call.keywords.items())))

    def __hash__(self) -> int:
        return hash(self.identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kernel) and self.identity == other.identity


@lru_cache(maxsize=256)
def _compiled(kernel: _Kernel, rows: int, shared: int, mesh: Mesh | None) -> Callable[..., Any]:
    if mesh is None:
        return jax.jit(kernel.call)
    specs = (P("row"),) * rows + (P(),) * shared
    return jax.jit(jax.shard_map(kernel.call, mesh=mesh, in_specs=specs, out_specs=P("row"), check_vma=False))


# Exact distances


def _paired(x_nd: jax.Array, y_nd: jax.Array, *, space: _Space) -> jax.Array:
    prepared, scale = _prepare((x_nd, y_nd), space)
    return _finish(_half_squared(*prepared, scale, space), scale, space)


def _prepare(features: tuple[jax.Array, ...], space: _Space) -> tuple[tuple[jax.Array, ...], jax.Array]:
    """The features and a power of two that keeps their squares inside float32; scaling by it is exact.

    Directions do not depend on length, so there each row is scaled by itself, in place of one scale for all.
    """
    if not space.angular:
        largest = jnp.stack([jnp.max(jnp.abs(feature)) for feature in features]).max()
        return features, _inverse_power_of_two(largest)
    rows = (f * _inverse_power_of_two(jnp.max(jnp.abs(f), -1, keepdims=True)) for f in features)
    return tuple(rows), jnp.float32(1)


def _inverse_power_of_two(largest: jax.Array) -> jax.Array:
    """2^-e with largest * 2^-e in [1, 2), clipped to normal float32 numbers; 1 for 0."""
    exponent = (lax.bitcast_convert_type(largest, jnp.int32) >> 23) & 0xFF
    inverse = jnp.clip(254 - exponent, 1, 253) << 23
    return jnp.where(largest > 0, lax.bitcast_convert_type(inverse, jnp.float32), 1.0)


def _half_squared(x: jax.Array, y: jax.Array, scale: jax.Array, space: _Space) -> jax.Array:
    """Half the squared distance over the last axis, by differences: of the scaled features, or of their directions.

    For unit vectors that is 1 - cos(angle). With d = x - y and e its part orthogonal to x, sin(angle) = |e| / |y|, and
    1 - cos = sin^2 / (1 + cos) keeps the digits of a small angle that 1 - cos would lose.
    """
    difference = x - y
    if not space.angular:
        return 0.5 * jnp.sum(jnp.square(difference * scale), -1)
    xx, yy = jnp.sum(x * x, -1), jnp.sum(y * y, -1)
    along = jnp.sum(x * difference, -1)
    has_direction = (xx > 0) & (yy > 0)
    xx_safe, yy_safe = jnp.where(xx > 0, xx, 1), jnp.where(yy > 0, yy, 1)
    orthogonal = difference - x * (along / xx_safe)[..., None]
    sine_squared = jnp.sum(jnp.square(orthogonal), -1) / yy_safe
    cosine = jnp.clip((xx - along) / (jnp.sqrt(xx_safe) * jnp.sqrt(yy_safe)), -1, 1)
    value = jnp.where(cosine > 0, sine_squared / (1 + jnp.maximum(cosine, 0)), 1 - cosine)
    return jnp.where(has_direction, value, jnp.where((xx > 0) | (yy > 0), 1.0, 0.0))


def _finish(half_squared: jax.Array, scale: jax.Array, space: _Space) -> jax.Array:
    """The distance asked for, from half the squared distance."""
    return jnp.sqrt(2 * half_squared) / scale if space.square_root else half_squared


# Matrix products


def _centred(features: tuple[jax.Array, ...], scale: jax.Array, space: _Space) -> tuple[jax.Array, ...]:
    """The features, or their directions, moved so that the mean of the last one is the origin.

    Distances do not notice, and rounding, which is relative to the lengths, shrinks with them. A zero vector's own
    direction is one more coordinate.
    """
    if space.angular:
        unit = []
        for feature in features:
            norm = jnp.sqrt(jnp.sum(feature * feature, -1, keepdims=True))
            zero = norm == 0
            unit.append(jnp.concatenate([feature / jnp.where(zero, 1, norm), zero.astype(jnp.float32)], -1))
        features = tuple(unit)
    mean = jnp.mean(features[-1] * scale, 0)
    return tuple(feature * scale - mean for feature in features)


def _product(x_nd: jax.Array, y_md: jax.Array) -> jax.Array:
    """x y^T in full float32: accelerators would otherwise round the factors to TF32 or bfloat16."""
    return lax.dot_general(x_nd, y_md, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)


def _rounding(width: int) -> float:
    """Bound on the error of a computed inner product of that width, relative to the product of the lengths."""
    return _ROUNDING_MARGIN * _EPS * width**0.5


def _pad_rows(x_nd: jax.Array, rows: int) -> jax.Array:
    return jnp.pad(x_nd, ((0, rows - x_nd.shape[0]), (0, 0)))


def _tiling(n: int, chunk: int, multiple: int = 1) -> tuple[int, int]:
    """`(tiles, rows of a tile)` that cover n rows evenly in tiles of at most about `chunk`."""
    tiles = -(-n // chunk)
    return tiles, -(-n // (tiles * multiple)) * multiple


# All pairs


def _pairwise(x_nd: jax.Array, y_md: jax.Array, *, space: _Space, chunk: int) -> jax.Array:
    (n, width), m = x_nd.shape, y_md.shape[0]
    tiles, rows = _tiling(n, chunk, _REPAIR_ROWS)
    columns = -(-m // _REPAIR_COLUMNS) * _REPAIR_COLUMNS
    (x_nd, y_md), scale = _prepare((x_nd, y_md), space)
    cx_nd, cy_md = _centred((x_nd, y_md), scale, space)
    x_nd, cx_nd = _pad_rows(x_nd, tiles * rows), _pad_rows(cx_nd, tiles * rows)
    y_md, cy_md = _pad_rows(y_md, columns), _pad_rows(cy_md, columns)
    real_m = jnp.arange(columns) < m
    yy_m = jnp.sum(jnp.square(cy_md), -1)

    def one_tile(tile: jax.Array) -> jax.Array:
        start = tile * rows
        x, cx = (lax.dynamic_slice_in_dim(a, start, rows) for a in (x_nd, cx_nd))
        lengths = jnp.sum(jnp.square(cx), -1)[:, None] + yy_m
        squared = lengths - 2 * _product(cx, cy_md)
        real = real_m & (start + jnp.arange(rows) < n)[:, None]
        return _repair(jnp.maximum(squared, 0) / 2, (squared < _CANCELLED * lengths) & real, x, y_md, scale, space)

    half = lax.map(one_tile, jnp.arange(tiles)).reshape(tiles * rows, columns)
    return _finish(half[:n, :m], scale, space)


def _repair(
    half_nm: jax.Array, cancelled_nm: jax.Array, x_nd: jax.Array, y_md: jax.Array, scale: jax.Array, space: _Space
) -> jax.Array:
    """The matrix with every small tile that holds a cancelled entry computed again by direct differences."""
    n, m = half_nm.shape
    across = m // _REPAIR_COLUMNS
    tiles = cancelled_nm.reshape(n // _REPAIR_ROWS, _REPAIR_ROWS, across, _REPAIR_COLUMNS).any((1, 3)).ravel()
    (todo,) = jnp.nonzero(tiles, size=tiles.shape[0])

    def again(i: jax.Array, half: jax.Array) -> jax.Array:
        row, column = todo[i] // across * _REPAIR_ROWS, todo[i] % across * _REPAIR_COLUMNS
        x = lax.dynamic_slice_in_dim(x_nd, row, _REPAIR_ROWS)
        y = lax.dynamic_slice_in_dim(y_md, column, _REPAIR_COLUMNS)
        exact = _half_squared(x[:, None], y[None], scale, space)
        return lax.dynamic_update_slice(half, exact, (row, column))

    return lax.fori_loop(0, tiles.sum(), again, half_nm)


# Nearest neighbours


def _nearest(
    query_nd: jax.Array, gallery_md: jax.Array, *, k: int, space: _Space, query_chunk: int, gallery_chunk: int
) -> tuple[jax.Array, jax.Array]:
    n, m = query_nd.shape[0], gallery_md.shape[0]
    chunks, rows = _tiling(n, query_chunk)
    (query_nd, gallery_md), scale = _prepare((query_nd, gallery_md), space)
    centred_nd, centred_md = _centred((query_nd, gallery_md), scale, space)
    alpha = _rounding(centred_md.shape[1]) + 4 * _EPS
    # Half the squared distance is |q|^2/2 + |g|^2/2 - q.g, computed with an error of at most alpha (|q|^2 + |g|^2)/2.
    # Taking that off the two squares turns the score into a lower bound, for every row by its own length.
    bias_m = (0.5 - 0.5 * alpha) * jnp.sum(jnp.square(centred_md), -1)
    tiles, columns = _tiling(m, gallery_chunk, 16)
    centred_md = _pad_rows(centred_md, tiles * columns).reshape(tiles, columns, -1)
    bias_m = jnp.pad(bias_m, (0, tiles * columns - m), constant_values=jnp.inf).reshape(tiles, columns)
    query = _pad_rows(query_nd, chunks * rows).reshape(chunks, rows, -1)
    centred = _pad_rows(centred_nd, chunks * rows).reshape(chunks, rows, -1)

    def one_chunk(chunk: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        query, centred = chunk
        score, candidate = _candidates(centred, centred_md, bias_m, min(m, _candidate_count(k)))
        half, index = _rerank(query, gallery_md, candidate, k, scale, space)
        if candidate.shape[1] == m:
            return half, index, jnp.ones(rows, bool)
        bound = score[:, -1] + (0.5 - 0.5 * alpha) * jnp.sum(jnp.square(centred), -1)
        slack = _UNIT_SLACK if space.angular else 0.0
        worst = jnp.sqrt(half[:, -1]) * (1 + 8 * _EPS) + slack
        return half, index, worst < jnp.sqrt(jnp.maximum(bound, 0))

    half, index, certified = lax.map(one_chunk, (query, centred))
    half, index = half.reshape(-1, k)[:n], index.reshape(-1, k)[:n]
    half, index = _settle(half, index, ~certified.ravel()[:n], query_nd, gallery_md, scale, space)
    return _finish(half, scale, space), index


def _candidate_count(k: int) -> int:
    """How many rows the matrix product proposes: a few times k, so that its rounding almost never decides."""
    return 2 * k + 8


def _candidates(
    centred_nd: jax.Array, gallery_tmd: jax.Array, bias_tm: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
    """`(score, index)` of the `count` lowest scores of every query, ascending; one gallery tile at a time."""
    tiles, columns = bias_tm.shape

    def merge(best: tuple[jax.Array, jax.Array], tile: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        gallery, bias = (lax.dynamic_index_in_dim(a, tile, keepdims=False) for a in (gallery_tmd, bias_tm))
        score, index = _lowest(bias - _product(centred_nd, gallery), min(count, columns))
        score, index = jnp.concatenate([best[0], score], 1), jnp.concatenate([best[1], index + tile * columns], 1)
        score, place = _top(score, count)
        return (score, jnp.take_along_axis(index, place, 1)), None

    n = centred_nd.shape[0]
    start = jnp.full((n, count), jnp.inf), jnp.zeros((n, count), jnp.int32)
    return lax.scan(merge, start, jnp.arange(tiles))[0]


def _top(score_nm: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The `count` lowest of every row and their places, ascending; the lower place among equals."""
    negated, place = lax.top_k(-score_nm, count)
    return -negated, place


def _lowest(score_nm: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """`_top` for long rows: the `count` lowest lie in the `count` blocks with the lowest minima, so select twice."""
    n, m = score_nm.shape
    block = 16
    if m % block or m // block <= 2 * count:
        return _top(score_nm, count)
    blocks = score_nm.reshape(n, m // block, block)
    _, chosen = _top(blocks.min(-1), count)
    score, place = _top(jnp.take_along_axis(blocks, chosen[..., None], 1).reshape(n, count * block), count)
    return score, jnp.take_along_axis(chosen, place // block, 1) * block + place % block


def _rerank(
    query_nd: jax.Array, gallery_md: jax.Array, candidate_nc: jax.Array, k: int, scale: jax.Array, space: _Space
) -> tuple[jax.Array, jax.Array]:
    """The k nearest candidates by direct differences: `(half squared distance, index)`, ties by index."""
    candidate_nc = jnp.sort(candidate_nc, 1)  # so that the lower place among equals is the lower index
    block = max(1, min(query_nd.shape[0], _BLOCK_ELEMENTS // (candidate_nc.shape[1] * query_nd.shape[1])))

    def exact(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        query, candidate = pair
        rows = gallery_md.at[candidate].get(mode="promise_in_bounds")
        return _half_squared(query, rows, scale, space)

    half = lax.map(exact, (query_nd[:, None], candidate_nc), batch_size=block)
    half, place = _top(half, k)
    return half, jnp.take_along_axis(candidate_nc, place, 1)


def _settle(
    half_nk: jax.Array,
    index_nk: jax.Array,
    open_n: jax.Array,
    query_nd: jax.Array,
    gallery_md: jax.Array,
    scale: jax.Array,
    space: _Space,
) -> tuple[jax.Array, jax.Array]:
    """The result with every open query compared with the whole gallery by direct differences, a few at a time."""
    (n, k), (m, width) = half_nk.shape, gallery_md.shape
    batch = min(n, 8)
    rows = max(1, min(m, _BLOCK_ELEMENTS // (batch * width)))
    tiles = -(-m // rows)
    gallery = _pad_rows(gallery_md, tiles * rows).reshape(tiles, rows, width)
    (todo,) = jnp.nonzero(open_n, size=n + batch, fill_value=n)

    def settle(step: jax.Array, result: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        which = lax.dynamic_slice_in_dim(todo, step * batch, batch)
        query = query_nd.at[which].get(mode="clip")
        half = lax.map(lambda tile: _half_squared(query[:, None], tile[None], scale, space), gallery)
        half, index = _top(half.transpose(1, 0, 2).reshape(batch, tiles * rows)[:, :m], k)
        # Places past the last query fill the final batch and are dropped here.
        return result[0].at[which].set(half, mode="drop"), result[1].at[which].set(index, mode="drop")

    return lax.fori_loop(0, -(-open_n.sum() // batch), settle, (half_nk, index_nk))
