"""Distances between feature vectors that keep float32 accuracy where the usual formula loses it.

The Gram formula |x|^2 + |y|^2 - 2 x.y cancels: two 512-D features that differ by 1e-4 come out at distance 0.0. Here
`paired_distance` and `nearest_neighbors` return sums of squared differences, and a matrix product only says which of
them are worth taking; `pairwise_distance` keeps the product where it is accurate and replaces it where it is not.

Metrics: `euclidean`, and `cosine` = 1 - cos(angle), in [0, 2], computed from the sine for small angles. With
`unit_length=True` features are first scaled to length 1 (for `cosine` that changes nothing). A zero vector has no
direction; it is taken as a direction of its own, orthogonal to every other: at cosine distance 0 from another zero
vector and 1 from everything else, and under `unit_length` at 0 and sqrt(2).

Features are real numbers, taken as float32; denormal ones may count as zero, and so may differences below 1e-19 of the
largest value in either matrix, whose squares leave float32. Called on plain arrays, rows spread over all devices of
this process, and the result (sharded by rows) is the same on any number of them; what lies on the host goes to each
device in its share, and never to one device whole. Inside `jit` the caller's sharding rules, everything lowers for CPU,
CUDA and TPU, and values that are not finite cannot be refused: keep them out.
"""

import difflib
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike

from mtsccd_jax.ops import neighbors
from mtsccd_jax.ops.distance_kernels import (
    Space,
    centre,
    finish,
    half_squared,
    move,
    pad_rows,
    prepare,
    product,
    tiling,
)
from mtsccd_jax.ops.validation import real_rows

METRICS = ("euclidean", "cosine")

# A squared distance below this share of |x|^2 + |y|^2 has lost too many digits in the matrix product.
_CANCELLED = 0.1
_REPAIR_ROWS, _REPAIR_COLUMNS = 32, 128

_AXIS = "row"  # what devices are along


class _Sizes(NamedTuple):
    """What is worked on at once, by platform."""

    query_chunk: int
    gallery_chunk: int
    block_elements: int  # differences


# 8 MiB of differences are about a core's cache. An accelerator wants few and large pieces: here 2 GiB of scores.
_SIZES = {"cpu": _Sizes(2048, 32768, 1 << 21)}
_SIZES_OF_ACCELERATORS = _Sizes(4096, 131072, 1 << 26)

# Multiplications from which on a CPU's bfloat16 product, and another for what it leaves open, repay compiling both.
_COARSE_FROM = 1 << 32

_Matrix = jax.Array | np.ndarray


class _Options(NamedTuple):
    """What a kernel is compiled for."""

    space: Space
    chunk: int = 0


_Kernel = _Options | neighbors.Plan


def paired_distance(
    x_nd: ArrayLike, y_nd: ArrayLike, metric: str = "euclidean", *, unit_length: bool = False
) -> jax.Array:
    """Distance of each row of `x_nd` to the same row of `y_nd`: (n,) float32, by the direct difference.

    Raises:
        ValueError: empty input, unequal shapes, NaN or infinite values, an unknown metric.
    """
    options = _Options(_space(metric, unit_length))
    x_nd, y_nd = real_rows("x_nd", x_nd), real_rows("y_nd", y_nd)
    if x_nd.shape != y_nd.shape:
        raise ValueError(f"paired features must have one shape, got x_nd {x_nd.shape} and y_nd {y_nd.shape}")
    return _over_rows(_paired, options, (x_nd, y_nd))


def pairwise_distance(
    x_nd: ArrayLike, y_md: ArrayLike, metric: str = "euclidean", *, unit_length: bool = False, chunk: int = 1024
) -> jax.Array:
    """Distances of every row of `x_nd` to every row of `y_md`: (n, m) float32.

    A full-precision matrix product, and direct differences for the tiles that hold a pair it cannot resolve. `chunk`,
    the rows of `x_nd` worked on at once, bounds the memory beyond the result and does not change it.

    Raises:
        ValueError: empty input, unequal widths, NaN or infinite values, an unknown metric.
    """
    _check_at_least_one("chunk", chunk)
    options = _Options(_space(metric, unit_length), chunk=chunk)
    x_nd, y_md = real_rows("x_nd", x_nd), real_rows("y_md", y_md)
    _check_widths("x_nd", x_nd, "y_md", y_md)
    return _over_rows(_pairwise, options, (x_nd,), (y_md,))


def nearest_neighbors(
    query_nd: ArrayLike,
    gallery_md: ArrayLike,
    k: int,
    metric: str = "euclidean",
    *,
    unit_length: bool = False,
    query_chunk: int | None = None,
    gallery_chunk: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """`(distance_nk ascending, index_nk int32)` of the k nearest gallery rows of each query; exact, ties by index.

    A matrix product over centred features proposes candidates, and their direct differences decide. Each query is then
    certified: the error bound of the product must rule out every row that was not proposed. One that is not (it lies in
    a crowd of near-duplicates) is compared with the whole gallery by direct differences: about ten times slower on a
    CPU, and just as exact. The product is in bfloat16 where the hardware is fast at it (`difference.first_product`).

    Queries and gallery are both spread over the devices, and the gallery's shares go round. Memory of a device beyond
    its share of the input, one more of the gallery and the result: a centred copy of gallery_chunk rows, query_chunk x
    gallery_chunk scores, and about 1.5 k candidates a query. The chunks do not change the result; None takes what suits
    the platform.

    Raises:
        ValueError: empty input, unequal widths, k < 1 or above the gallery's size, NaN or infinite values, an unknown
            metric.
    """
    sizes = _SIZES.get(jax.default_backend(), _SIZES_OF_ACCELERATORS)
    query_chunk = sizes.query_chunk if query_chunk is None else query_chunk
    gallery_chunk = sizes.gallery_chunk if gallery_chunk is None else gallery_chunk
    _check_at_least_one("query_chunk", query_chunk)
    _check_at_least_one("gallery_chunk", gallery_chunk)
    space = _space(metric, unit_length)
    query_nd, gallery_md = real_rows("query_nd", query_nd), real_rows("gallery_md", gallery_md)
    _check_widths("query_nd", query_nd, "gallery_md", gallery_md)
    m = gallery_md.shape[0]
    if k != int(k) or not 1 <= k <= m:
        raise ValueError(f"k must be a whole number from 1 to the gallery's {m} rows, got {k}")
    coarse = query_nd.size * m >= _COARSE_FROM and _fast_bfloat16()
    plan = neighbors.Plan(int(k), space, query_chunk, gallery_chunk, sizes.block_elements, coarse, gallery_rows=m)
    return _over_rows(_nearest, plan, (query_nd, gallery_md))


def _space(metric: str, unit_length: bool) -> Space:
    if metric not in METRICS:
        close = difflib.get_close_matches(str(metric), METRICS, n=1, cutoff=0.4)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"unknown metric {metric!r}, known are {', '.join(METRICS)}.{hint}")
    return Space(angular=metric == "cosine" or unit_length, square_root=metric == "euclidean")


@lru_cache(maxsize=1)
def _fast_bfloat16() -> bool:
    """Whether this machine's processor multiplies bfloat16 numbers (AVX-512 or AMX); False where it does not say."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _check_widths(x_name: str, x_nd: _Matrix, y_name: str, y_md: _Matrix) -> None:
    if x_nd.shape[1] != y_md.shape[1]:
        raise ValueError(f"features must have one width, got {x_name} {x_nd.shape} and {y_name} {y_md.shape}")


def _check_at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def _over_rows(
    kernel: Callable[..., Any], options: _Kernel, rows: tuple[_Matrix, ...], shared: tuple[_Matrix, ...] = ()
) -> Any:
    """`kernel(options, *rows, *shared)`, the rows spread over this process's devices, `shared` copied to each.

    Where matrices of unlike length are spread, the result is as long as the first.
    """
    n = rows[0].shape[0]
    devices = jax.local_devices()[:n]
    if len(devices) == 1 or any(isinstance(array, jax.core.Tracer) for array in (*rows, *shared)):
        return _compiled(kernel, options, len(rows), len(shared), None)(*rows, *shared)
    mesh = Mesh(np.array(devices), (_AXIS,), axis_types=(AxisType.Auto,))
    spread = tuple(_spread(array, mesh) for array in rows)
    shared = jax.device_put(shared, jax.NamedSharding(mesh, P()))
    result = _compiled(kernel, options, len(rows), len(shared), mesh)(*spread, *shared)
    return jax.tree.map(lambda array: array[:n], result)


def _spread(x_nd: _Matrix, mesh: Mesh) -> jax.Array:
    """The matrix in equal shares of its rows; copies of the last row fill the last shares up."""
    n, width = x_nd.shape
    padded, sharding = -(-n // mesh.size) * mesh.size, jax.NamedSharding(mesh, P(_AXIS))
    if isinstance(x_nd, jax.Array):
        return jax.device_put(jnp.pad(x_nd, ((0, padded - n), (0, 0)), mode="edge"), sharding)

    def share(index: tuple[slice, ...] | None) -> np.ndarray:
        assert index is not None  # every device is this process's
        start, stop, _ = index[0].indices(padded)
        return x_nd[start:stop] if stop <= n else x_nd[np.minimum(np.arange(start, stop), n - 1)]

    return jax.make_array_from_callback((padded, width), sharding, share)


@lru_cache(maxsize=256)
def _compiled(
    kernel: Callable[..., Any], options: _Kernel, rows: int, shared: int, mesh: Mesh | None
) -> Callable[..., Any]:
    """The jitted kernel; cached, so that one set of options is compiled once."""
    if mesh is None:
        return jax.jit(partial(kernel, options))
    if isinstance(options, neighbors.Plan):
        options = options._replace(devices=mesh.size, axis=_AXIS)
    specs = (P(_AXIS),) * rows + (P(),) * shared
    call = partial(kernel, options)
    return jax.jit(jax.shard_map(call, mesh=mesh, in_specs=specs, out_specs=P(_AXIS), check_vma=False))


def _paired(options: _Options, x_nd: jax.Array, y_nd: jax.Array) -> jax.Array:
    x_nd, y_nd, scale = prepare(x_nd, y_nd, options.space)
    return finish(half_squared(x_nd, y_nd, scale, options.space), scale, options.space)


def _nearest(plan: neighbors.Plan, query_nd: jax.Array, gallery_md: jax.Array) -> tuple[jax.Array, jax.Array]:
    return neighbors.search(query_nd, gallery_md, plan)


def _pairwise(options: _Options, x_nd: jax.Array, y_md: jax.Array) -> jax.Array:
    n, m, space = x_nd.shape[0], y_md.shape[0], options.space
    tiles, rows = tiling(n, options.chunk, _REPAIR_ROWS)
    columns = -(-m // _REPAIR_COLUMNS) * _REPAIR_COLUMNS
    x_nd, y_md, scale = prepare(x_nd, y_md, space)
    origin = centre(y_md, scale, space)
    x_nd, y_md = pad_rows(x_nd, tiles * rows), pad_rows(y_md, columns)
    moved_md = move(y_md, origin, scale, space)
    yy_m = jnp.sum(jnp.square(moved_md), -1)
    real_m = jnp.arange(columns) < m

    def one_tile(tile: jax.Array) -> jax.Array:
        x = lax.dynamic_slice_in_dim(x_nd, tile * rows, rows)
        moved = move(x, origin, scale, space)
        lengths = jnp.sum(jnp.square(moved), -1)[:, None] + yy_m
        squared = lengths - 2 * product(moved, moved_md)
        real = real_m & (tile * rows + jnp.arange(rows) < n)[:, None]
        return _repair(jnp.maximum(squared, 0) / 2, (squared < _CANCELLED * lengths) & real, x, y_md, scale, space)

    half = lax.map(one_tile, jnp.arange(tiles)).reshape(tiles * rows, columns)
    return finish(half[:n, :m], scale, space)


def _repair(
    half_nm: jax.Array, cancelled_nm: jax.Array, x_nd: jax.Array, y_md: jax.Array, scale: jax.Array, space: Space
) -> jax.Array:
    """The matrix with every small tile that holds a cancelled entry computed again by direct differences."""
    n, m = half_nm.shape
    across = m // _REPAIR_COLUMNS
    cancelled = cancelled_nm.reshape(n // _REPAIR_ROWS, _REPAIR_ROWS, across, _REPAIR_COLUMNS).any((1, 3)).ravel()
    (tiles,) = jnp.nonzero(cancelled, size=cancelled.shape[0])

    def again(i: jax.Array, half: jax.Array) -> jax.Array:
        row, column = tiles[i] // across * _REPAIR_ROWS, tiles[i] % across * _REPAIR_COLUMNS
        x = lax.dynamic_slice_in_dim(x_nd, row, _REPAIR_ROWS)
        y = lax.dynamic_slice_in_dim(y_md, column, _REPAIR_COLUMNS)
        return lax.dynamic_update_slice(half, half_squared(x[:, None], y[None], scale, space), (row, column))

    return lax.fori_loop(0, cancelled.sum(), again, half_nm)
