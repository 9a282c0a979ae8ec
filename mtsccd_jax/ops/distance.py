"""Distances between feature vectors that keep float32 accuracy where the usual formula loses it.

The Gram formula |x|^2 + |y|^2 - 2 x.y cancels: for two 512-D features that differ by 1e-4 it gives distance 0.0. Here
`paired_distance` and `nearest_neighbors` return sums of squared differences, and a matrix product only selects the
differences to take. `pairwise_distance` keeps the product where it is accurate and replaces it where it is not.

Metrics: `euclidean`, and `cosine` = 1 - cos(angle), in [0, 2], computed from the sine for small angles. With
`unit_length=True` features are first scaled to length 1 (for `cosine` that changes nothing). A zero vector has no
direction. It counts as a direction of its own, orthogonal to every other: its cosine distance is 0 to another zero
vector and 1 to everything else, and under `unit_length` its distances are 0 and sqrt(2).

Features are real numbers, used as float32. Denormal ones may count as zero, and so may differences below 1e-19 of the
largest value in either matrix, whose squares leave float32.

Called on plain arrays, rows are spread over all devices of this process, and the result is the same on any number of
them. An array of the host goes to each device in its share, never whole to one device. Arrays that lie on devices of
several processes are computed on all of these, and all processes make the same call; the result lies there too. Inside
`jit` the caller's sharding rules, and everything lowers for CPU, CUDA and TPU; values that are not finite cannot be
refused there, so keep them out.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike
from jaxtyping import Float32, Int32, Real

from mtsccd_jax.ops import neighbors
from mtsccd_jax.ops.calls import (
    check_known,
    leading,
    on_host,
    own_settings,
    padded,
    real_rows,
    row_bucket,
    spans_processes,
)
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

METRICS = ("euclidean", "cosine")

# A squared distance below this share of |x|^2 + |y|^2 has lost too many digits in the matrix product.
_CANCELLED = 0.1
_REPAIR_ROWS, _REPAIR_COLUMNS = 32, 128
_PAIRWISE_ROWS = 1024  # of the first matrix at once; bounds memory, not results
# So many distances and more repay a program for their own shape: padding would cost a copy of the result.
_PAIRWISE_ALONE = 1 << 22

_AXIS = "row"  # the mesh axis along which rows are spread


class _Sizes(NamedTuple):
    """How much is worked on at once; bounds memory, not results."""

    query_chunk: int
    gallery_chunk: int
    block_elements: int  # differences


# 8 MiB of differences are about a core's cache. An accelerator wants few and large pieces: here 2 GiB of scores.
_SIZES = {"cpu": _Sizes(2048, 32768, 1 << 21)}
_SIZES_OF_ACCELERATORS = _Sizes(4096, 131072, 1 << 26)

# From this many multiplications on, a CPU's bfloat16 product and the float32 one for the queries that it leaves open
# together repay the time to compile both.
_COARSE_FROM = 1 << 32

_Matrix = Array | np.ndarray
_Options = Space | neighbors.Plan  # what a kernel is compiled for


@own_settings()
def paired_distance(
    x_nd: Real[ArrayLike, "n d"], y_nd: Real[ArrayLike, "n d"], metric: str = "euclidean", *, unit_length: bool = False
) -> Float32[Array, " n"]:
    """Return the distance of each row of `x_nd` to the same row of `y_nd`, by the direct difference.

    Raises:
        ValueError: empty input, unequal shapes, NaN or infinite values, an unknown metric.
    """
    space = _space(metric, unit_length)
    x_nd, y_nd = real_rows("x_nd", x_nd), real_rows("y_nd", y_nd)
    if x_nd.shape != y_nd.shape:
        raise ValueError(f"paired features must have one shape, got x_nd {x_nd.shape} and y_nd {y_nd.shape}")
    distance_n: Array = _over_rows(_paired, space, (x_nd, y_nd))
    return distance_n


@own_settings()
def pairwise_distance(
    x_nd: Real[ArrayLike, "n d"], y_md: Real[ArrayLike, "m d"], metric: str = "euclidean", *, unit_length: bool = False
) -> Float32[Array, "n m"]:
    """Return the distance of every row of `x_nd` to every row of `y_md`.

    Computes a full-precision matrix product, and direct differences for the tiles that hold a pair it cannot resolve.

    Raises:
        ValueError: empty input, unequal widths, NaN or infinite values, an unknown metric.
    """
    space = _space(metric, unit_length)
    x_nd, y_md = real_rows("x_nd", x_nd), real_rows("y_md", y_md)
    _check_widths("x_nd", x_nd, "y_md", y_md)
    n, m = len(x_nd), len(y_md)
    length = int if n * m >= _PAIRWISE_ALONE else row_bucket
    distance_nm: Array = _over_rows(_pairwise, space, (x_nd,), (y_md,), length=length)
    return leading(distance_nm, n, m)


@own_settings()
def nearest_neighbors(
    query_nd: Real[ArrayLike, "n d"],
    gallery_md: Real[ArrayLike, "m d"],
    k: int,
    metric: str = "euclidean",
    *,
    unit_length: bool = False,
) -> tuple[Float32[Array, "n k"], Int32[Array, "n k"]]:
    """Return `(distance_nk, index_nk)` of the k nearest gallery rows of each query, ascending; exact, ties by index.

    A matrix product over centred features proposes candidates, and their direct differences decide. Each query is then
    certified: the error bound of the product must rule out every row that was not proposed. A query without this
    certificate (it lies in a crowd of near-duplicates) is compared with the whole gallery by direct differences, which
    is about ten times slower on a CPU and just as exact. The product is in bfloat16 where the hardware is fast at that
    (`distance_kernels.first_product`).

    Queries and gallery are both spread over the devices, and the gallery's shares go round. A device needs memory for
    its share of the input, a second share of the gallery, the result, about 1.5 k candidates a query, and what `_SIZES`
    allows to be worked on at once.

    Raises:
        ValueError: empty input, unequal widths, k < 1 or above the gallery's size, NaN or infinite values, an unknown
            metric.
    """
    sizes = _SIZES.get(jax.default_backend(), _SIZES_OF_ACCELERATORS)
    space = _space(metric, unit_length)
    query_nd, gallery_md = real_rows("query_nd", query_nd), real_rows("gallery_md", gallery_md)
    _check_widths("query_nd", query_nd, "gallery_md", gallery_md)
    m = gallery_md.shape[0]
    if k != int(k) or not 1 <= k <= m:
        raise ValueError(f"k must be a whole number from 1 to the gallery's {m} rows, got {k}")
    coarse = query_nd.size * m >= _COARSE_FROM and _fast_bfloat16()
    plan = neighbors.Plan(int(k), space, *sizes, coarse)
    found: tuple[Array, Array] = _over_rows(neighbors.search, plan, (query_nd, gallery_md))
    return found


def _space(metric: str, unit_length: bool) -> Space:
    check_known("metric", metric, METRICS)
    return Space(angular=metric == "cosine" or unit_length, square_root=metric == "euclidean")


@lru_cache(maxsize=1)
def _fast_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 numbers (AVX-512 or AMX); False where it does not say."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _check_widths(x_name: str, x_nd: _Matrix, y_name: str, y_md: _Matrix) -> None:
    if x_nd.shape[1] != y_md.shape[1]:
        raise ValueError(f"features must have one width, got {x_name} {x_nd.shape} and {y_name} {y_md.shape}")


def _over_rows(
    kernel: Callable[..., Any],
    options: _Options,
    rows: tuple[_Matrix, ...],
    shared: tuple[_Matrix, ...] = (),
    *,
    length: Callable[[int], int] = row_bucket,
) -> Any:
    """Call `kernel(options, *rows, *shared, n, m)`, n and m being the lengths of the two matrices.

    Rows are spread over this process's devices, and `shared` is copied to each. Both are padded to `length(n)`, with
    copies of their last rows. The result is as long as the first matrix.
    """
    matrices = (*rows, *shared)
    counts = tuple(np.int32(len(matrix)) for matrix in matrices)
    if any(isinstance(matrix, jax.core.Tracer) for matrix in matrices):
        return _compiled(kernel, options, len(rows), len(shared), None)(*matrices, *counts)
    n, devices = len(rows[0]), _devices_for(matrices, length(len(rows[0])))
    if len(devices) == 1:
        whole = (padded(matrix, length(len(matrix))) for matrix in matrices)
        result = _compiled(kernel, options, len(rows), len(shared), None)(*whole, *counts)
    else:
        mesh = Mesh(np.array(devices), (_AXIS,), axis_types=(AxisType.Auto,))
        spread = tuple(_spread(matrix, mesh, length) for matrix in rows)
        copied = jax.device_put(
            tuple(padded(matrix, length(len(matrix))) for matrix in shared), NamedSharding(mesh, P())
        )
        result = _compiled(kernel, options, len(rows), len(shared), mesh)(*spread, *copied, *counts)
    return jax.tree.map(lambda array: leading(array, n), result)


def _devices_for(matrices: tuple[_Matrix, ...], rows: int) -> list[jax.Device]:
    """Return the devices to compute on: those of the processes that an array spans, or at most `rows` of this one's."""
    for matrix in matrices:
        if isinstance(matrix, Array) and spans_processes(matrix):
            return sorted(matrix.devices(), key=lambda device: (device.process_index, device.id))
    devices: list[jax.Device] = jax.local_devices()[:rows]
    return devices


def _spread(x_nd: _Matrix, mesh: Mesh, length: Callable[[int], int] = row_bucket) -> Array:
    """Place the matrix in equal shares of `length(n)` rows or more; copies of the last row fill the last shares.

    A matrix of the host is whole in every process.
    """
    n, width = x_nd.shape
    rows, sharding = -(-length(n) // mesh.size) * mesh.size, NamedSharding(mesh, P(_AXIS))
    if not on_host(x_nd):
        placed: Array = jax.device_put(padded(x_nd, rows), sharding)
        return placed
    host_nd = np.asarray(x_nd)

    def share(index: tuple[slice, ...] | None) -> np.ndarray:
        assert index is not None  # asked for this process's devices alone
        start, stop, _ = index[0].indices(rows)
        return host_nd[start:stop] if stop <= n else host_nd[np.minimum(np.arange(start, stop), n - 1)]

    return jax.make_array_from_callback((rows, width), sharding, share)


@lru_cache(maxsize=256)
def _compiled(
    kernel: Callable[..., Any], options: _Options, rows: int, shared: int, mesh: Mesh | None
) -> Callable[..., Any]:
    """Return the jitted kernel, cached so that one set of options is compiled once."""
    if mesh is None:
        return jax.jit(partial(kernel, options))
    if isinstance(options, neighbors.Plan):
        options = options._replace(devices=mesh.size, axis=_AXIS)
    specs = (P(_AXIS),) * rows + (P(),) * (shared + 2)  # and the two lengths
    call = partial(kernel, options)
    return jax.jit(jax.shard_map(call, mesh=mesh, in_specs=specs, out_specs=P(_AXIS), check_vma=False))


def _paired(space: Space, x_nd: Array, y_nd: Array, *_: Array) -> Array:
    x_nd, y_nd, scale = prepare(x_nd, y_nd, space)
    return finish(half_squared(x_nd, y_nd, scale, space), scale, space)


def _pairwise(space: Space, x_nd: Array, y_md: Array, _: Array, m: Array) -> Array:
    """Return the distances between all rows; those to the `m` real ones of `y_md` are accurate."""
    here, width = x_nd.shape[0], y_md.shape[0]
    tiles, rows = tiling(here, _PAIRWISE_ROWS, _REPAIR_ROWS)
    columns = -(-width // _REPAIR_COLUMNS) * _REPAIR_COLUMNS
    x_nd, y_md, scale = prepare(x_nd, y_md, space)
    origin = centre(y_md, scale, space)
    x_nd, y_md = pad_rows(x_nd, tiles * rows), pad_rows(y_md, columns)
    moved_md = move(y_md, origin, scale, space)
    yy_m = jnp.sum(jnp.square(moved_md), -1)
    real_m = jnp.arange(columns) < m

    def one_tile(tile: Array) -> Array:
        x = lax.dynamic_slice_in_dim(x_nd, tile * rows, rows)
        moved = move(x, origin, scale, space)
        lengths = jnp.sum(jnp.square(moved), -1)[:, None] + yy_m
        squared = lengths - 2 * product(moved, moved_md)
        real = real_m & (tile * rows + jnp.arange(rows) < here)[:, None]
        return _repair(jnp.maximum(squared, 0) / 2, (squared < _CANCELLED * lengths) & real, x, y_md, scale, space)

    half = lax.map(one_tile, jnp.arange(tiles)).reshape(tiles * rows, columns)
    return finish(half[:here, :width], scale, space)


def _repair(half_nm: Array, cancelled_nm: Array, x_nd: Array, y_md: Array, scale: Array, space: Space) -> Array:
    """Compute every small tile that holds a cancelled entry again, by direct differences."""
    n, m = half_nm.shape
    across = m // _REPAIR_COLUMNS
    cancelled = cancelled_nm.reshape(n // _REPAIR_ROWS, _REPAIR_ROWS, across, _REPAIR_COLUMNS).any((1, 3)).ravel()
    (tiles,) = jnp.nonzero(cancelled, size=cancelled.shape[0])

    def again(i: Array, half: Array) -> Array:
        row, column = tiles[i] // across * _REPAIR_ROWS, tiles[i] % across * _REPAIR_COLUMNS
        x = lax.dynamic_slice_in_dim(x_nd, row, _REPAIR_ROWS)
        y = lax.dynamic_slice_in_dim(y_md, column, _REPAIR_COLUMNS)
        return lax.dynamic_update_slice(half, half_squared(x[:, None], y[None], scale, space), (row, column))

    half_nm = lax.fori_loop(0, cancelled.sum(), again, half_nm)
    return half_nm
