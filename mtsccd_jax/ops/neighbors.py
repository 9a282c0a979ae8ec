"""Exact nearest neighbours on one device or round a ring of them, without ever holding all distances.

A matrix product proposes candidates, direct differences decide among them, and a bound on the product's rounding error
certifies that no other row can be nearer. Queries without a certificate are searched again: by a product in float32 if
the first one was in bfloat16, and those still without one by direct differences with every row.

Each device keeps its share of the queries while the shares of the gallery go round. So every query meets every row, and
no device holds more of the gallery than its own share, the share it works on and the one that is on its way.

The lowest of many scores are found without sorting all of them. The c lowest scores of a long row lie in the c blocks
of columns with the lowest minima. So blocks are selected first, then columns. How a selection is made depends on the
platform. GPUs select fast only up to 16 scores and sort whole rows beyond. There the largest score that belongs is
found bit by bit, by counting, and the scores that belong are then moved together.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Float32, Int32

from mtsccd_jax.ops.distance_kernels import (
    EPS,
    Space,
    centre,
    finish,
    first_product,
    first_rounding,
    half_squared,
    move,
    pad_rows,
    prepare,
    product,
    rounding,
    tiling,
)

_NOWHERE = np.iinfo(np.int32).max  # the index of no row
_CANDIDATES_AT_ONCE = 32  # of a query in one share of the gallery
_QUERIES_BY_PRODUCT = 128  # searched again at once
_QUERIES_BY_DIFFERENCES = 16  # likewise
_BLOCK = 16  # columns that are represented by their minimum
_BITS = 2  # how many of a score's 32 bits one count settles
_UNIT_SLACK = 16 * EPS  # the rounding error of two unit vectors, in distance

_Product = Callable[[Array, Array], Array]
# Half the squared distances (n, k), their gallery rows (n, k), and which queries have no certificate (n,).
_Found = tuple[Array, Array, Array]


class Plan(NamedTuple):
    """The static options that a search is compiled for."""

    k: int
    space: Space
    query_chunk: int
    gallery_chunk: int
    block_elements: int  # differences taken at once
    coarse: bool  # the first product of a CPU is in bfloat16
    devices: int = 1
    axis: str | None = None  # the mesh axis that the devices are along; None for one device


class _View(NamedTuple):
    """An origin for features, and the bound on a product's rounding error relative to it."""

    origin_d: Array
    scale: Array
    rounding: Array | float
    gallery_rows: Array  # of all devices' shares together; rows beyond are padding

    def moved(self, x_nd: Array, space: Space) -> Array:
        return move(x_nd, self.origin_d, self.scale, space)

    def lower(self, moved_nd: Array) -> Array:
        """Return |x|^2/2 less its share of the error of |x|^2/2 + |y|^2/2 - x.y, which so becomes a lower bound."""
        return (0.5 - 0.5 * self.rounding) * jnp.sum(jnp.square(moved_nd), -1)


def search(
    plan: Plan,
    query_nd: Float32[Array, "n d"],
    gallery_md: Float32[Array, "m d"],
    query_rows: Int32[ArrayLike, ""],
    gallery_rows: Int32[ArrayLike, ""],
) -> tuple[Float32[Array, "n k"], Int32[Array, "n k"]]:
    """Return `(distance_nk ascending, index_nk)` for this device's queries, given its share of the gallery.

    Of all devices' queries and gallery rows, those from `query_rows` and `gallery_rows` on are padding. The traceable
    body of `ops.distance.nearest_neighbors`.
    """
    n, space = query_nd.shape[0], plan.space
    query_nd, gallery_md, scale = prepare(query_nd, gallery_md, space, plan.axis)
    origin = centre(gallery_md, scale, space)
    if plan.axis is not None:
        origin = lax.pmean(origin, plan.axis)  # any origin gives right results; all shares have equally many rows
    exact = _View(origin, scale, rounding(origin.shape[0]), jnp.asarray(gallery_rows))
    coarse = first_rounding(exact.moved(query_nd, space), exact.moved(gallery_md, space), plan.coarse, plan.axis)
    chunks, rows = tiling(n, plan.query_chunk)
    query_crd = pad_rows(query_nd, chunks * rows).reshape(chunks, rows, -1)
    first = partial(first_product, coarse=plan.coarse)
    found = _by_product(query_crd, gallery_md, exact._replace(rounding=coarse), first, plan)
    first_row = 0 if plan.axis is None else lax.axis_index(plan.axis) * n
    found = (found[0][:n], found[1][:n], found[2][:n] & (first_row + jnp.arange(n) < query_rows))
    if plan.coarse:

        def by_product(query_bd: Array) -> _Found:
            return _by_product(query_bd[None], gallery_md, exact, product, plan)

        found = _search_again(found, query_nd, _QUERIES_BY_PRODUCT, by_product, plan)
    by_differences = partial(_by_differences, gallery_md=gallery_md, view=exact, plan=plan)
    found = _search_again(found, query_nd, _QUERIES_BY_DIFFERENCES, by_differences, plan)
    return finish(found[0], scale, space), found[1]


def _by_product(query_crd: Array, gallery_md: Array, view: _View, product: _Product, plan: Plan) -> _Found:
    """Find the k nearest rows of each query, (chunks x rows) of them, and whether the product certifies them."""
    (chunks, rows, width), space, k = query_crd.shape, plan.space, plan.k
    m = gallery_md.shape[0] * plan.devices
    # A margin beyond k, in which rounding may change the order: wide enough for bfloat16 among ordinary features.
    count = min(m, k + max(22, min(k, k // 2 + 64)))
    score, candidate = _candidates(query_crd, gallery_md, count, view, product, plan)
    query_nd = query_crd.reshape(chunks * rows, width)
    # Where padding was proposed there is no row. Sorted, so that the lower place among equals is the lower row.
    candidate = jnp.sort(jnp.where(score < jnp.inf, candidate, _NOWHERE).reshape(-1, count), 1)
    half = _exact(query_nd, gallery_md, candidate, view.scale, plan)
    half, place = ascending(jnp.where(candidate < _NOWHERE, half, jnp.inf), k)
    index = jnp.take_along_axis(candidate, place, 1)
    if count == m:
        return half, index, jnp.zeros(chunks * rows, bool)
    # No row that was not proposed can be nearer than this. It must be farther than the last row that was chosen.
    lower = lax.map(lambda query: view.lower(view.moved(query, space)), query_crd)
    bound = jnp.max(score, -1) + lower
    farthest = jnp.sqrt(half[:, -1]) * (1 + 8 * EPS) + (_UNIT_SLACK if space.angular else 0.0)
    return half, index, ~(farthest < jnp.sqrt(jnp.maximum(bound.ravel(), 0)))


def _round(gallery_md: Array, begin: Any, visit: Callable[[Any, Array, Array], Any], plan: Plan) -> Any:
    """Fold `visit(so far, share, first row of the share)` over every share of the gallery, on each device.

    A share travels on to the next device while this one works on it, and is back home at the end.
    """
    if plan.axis is None:
        return visit(begin, gallery_md, jnp.int32(0))
    axis, devices, own = plan.axis, plan.devices, lax.axis_index(plan.axis)

    def step(turn: Array, state: tuple[Any, Array]) -> tuple[Any, Array]:
        so_far, share = state
        coming = lax.ppermute(share, axis, [(device, (device - 1) % devices) for device in range(devices)])
        return visit(so_far, share, (own + turn) % devices * len(share)), coming

    return lax.fori_loop(0, devices, step, (begin, gallery_md))[0]


def _candidates(
    query_crd: Array, gallery_md: Array, count: int, view: _View, product: _Product, plan: Plan
) -> tuple[Array, Array]:
    """Return `(score, index)`, each (chunks, rows, count): every query's rows of lowest |g|^2/2 - q.g, unordered.

    A share passes tile by tile, and every tile meets all queries, so that it is centred once.
    """
    m, space = gallery_md.shape[0], plan.space
    tiles, columns = tiling(m, plan.gallery_chunk, multiple=16)
    columns = min(m, columns)

    def one_share(best: tuple[Array, Array], share: Array, first: Array) -> tuple[Array, Array]:
        def one_tile(best: tuple[Array, Array], tile: Array) -> tuple[tuple[Array, Array], None]:
            # The last tile is moved back to end with the share. Rows that it shares with the tile before do not count,
            # nor does the padding of the gallery.
            start = jnp.minimum(tile * columns, m - columns)
            gallery = view.moved(lax.dynamic_slice_in_dim(share, start, columns), space)
            row = start + jnp.arange(columns)
            counts = (row >= tile * columns) & (first + row < view.gallery_rows)
            bias = jnp.where(counts, view.lower(gallery), jnp.inf)

            def merge(chunk: tuple[Array, Array, Array]) -> tuple[Array, Array]:
                query, best_score, best_index = chunk
                score, place = lowest(bias - product(view.moved(query, space), gallery), min(count, columns))
                index = place + (first + start)
                if tiles == plan.devices == 1 and score.shape == best_score.shape:
                    return score, index
                score, place = lowest(jnp.concatenate([best_score, score], 1), count)
                return score, jnp.take_along_axis(jnp.concatenate([best_index, index], 1), place, 1)

            return lax.map(merge, (query_crd, *best)), None

        return lax.scan(one_tile, best, jnp.arange(tiles))[0]

    shape = (*query_crd.shape[:2], count)
    begin = jnp.full(shape, jnp.inf), jnp.zeros(shape, jnp.int32)
    best: tuple[Array, Array] = _round(gallery_md, begin, one_share, plan)
    return best


def _exact(query_nd: Array, gallery_md: Array, candidate_nc: Array, scale: Array, plan: Plan) -> Array:
    """Return half the squared distance to every candidate, (n, c), by direct differences; candidates ascend in a row.

    Queries pass in blocks that fit a cache: one gather of all candidates took five times as long on a CPU.
    """
    (n, count), (m, width) = candidate_nc.shape, gallery_md.shape
    # A query may have few or many candidates in one share of the gallery: they are taken some at a time.
    some = count if plan.axis is None else min(count, _CANDIDATES_AT_ONCE)
    blocks, rows = tiling(n, max(1, plan.block_elements // (some * width)))

    def one_share(half_brc: Array, share: Array, first: Array) -> Array:
        def one_block(block: tuple[Array, Array, Array]) -> Array:
            query, candidate, half = block
            start, stop = (jnp.sum(candidate < end, 1, dtype=jnp.int32) for end in (first, first + m))

            def take(turn: Array, half: Array) -> Array:
                column = start[:, None] + turn * some + jnp.arange(some)
                row = jnp.take_along_axis(candidate, jnp.minimum(column, count - 1), 1) - first
                found = share.at[jnp.clip(row, 0, m - 1)].get(mode="promise_in_bounds")
                value = half_squared(query[:, None], found, scale, plan.space)
                column = jnp.where(column < stop[:, None], column, count)
                return half.at[jnp.arange(rows)[:, None], column].set(value, mode="drop")

            exact: Array = lax.fori_loop(0, -(-jnp.max(stop - start) // some), take, half)
            return exact

        return jnp.asarray(lax.map(one_block, (*blocked, half_brc)))

    blocked = tuple(pad_rows(part, blocks * rows).reshape(blocks, rows, -1) for part in (query_nd, candidate_nc))
    half_brc: Array = _round(gallery_md, jnp.zeros((blocks, rows, count)), one_share, plan)
    return half_brc.reshape(-1, count)[:n]


def _search_again(
    found: _Found, query_nd: Array, at_once: int, search_bd: Callable[[Array], _Found], plan: Plan
) -> _Found:
    """Search again, `at_once` together, for every query that has no certificate; return all that is found."""
    n, without = query_nd.shape[0], found[2]
    at_once = min(n, at_once)
    (which,) = jnp.nonzero(without, size=n + at_once, fill_value=n)
    batches = -(-jnp.sum(without, dtype=jnp.int32) // at_once)
    if plan.axis is not None:
        batches = lax.pmax(batches, plan.axis)  # the gallery goes round for all devices together

    def one_batch(batch: Array, found: _Found) -> _Found:
        start = jnp.minimum(batch * at_once, n)
        row = lax.dynamic_slice_in_dim(which, start, at_once)
        answer = search_bd(query_nd.at[row].get(mode="clip"))
        # The last batch is padded with a row that does not exist, whose answer is dropped here.
        half, index, without = (old.at[row].set(new, mode="drop") for old, new in zip(found, answer, strict=True))
        return half, index, without

    found = lax.fori_loop(0, batches, one_batch, found)
    return found


def _by_differences(query_bd: Array, gallery_md: Array, view: _View, plan: Plan) -> _Found:
    """Find the k nearest rows of each query by direct differences with the whole gallery."""
    (m, width), batch, k = gallery_md.shape, query_bd.shape[0], plan.k
    rows = max(1, min(m, plan.block_elements // (batch * width)))

    def one_share(best: tuple[Array, Array], share: Array, first: Array) -> tuple[Array, Array]:
        def one_tile(tile: Array, half_bm: Array) -> Array:
            start = jnp.minimum(tile * rows, m - rows)
            gallery = lax.dynamic_slice_in_dim(share, start, rows)
            half = half_squared(query_bd[:, None], gallery, view.scale, plan.space)
            return lax.dynamic_update_slice_in_dim(half_bm, half, start, 1)

        half = lax.fori_loop(0, -(-m // rows), one_tile, jnp.zeros((batch, m)))
        half = jnp.where(first + jnp.arange(m) < view.gallery_rows, half, jnp.inf)
        half, place = ascending(half, min(k, m))
        merged = (jnp.concatenate(parts, 1) for parts in zip(best, (half, place + first), strict=True))
        half, index = lax.sort(tuple(merged), dimension=1, num_keys=2)
        return half[:, :k], index[:, :k]

    begin = jnp.full((batch, k), jnp.inf), jnp.full((batch, k), _NOWHERE, jnp.int32)
    half, index = _round(gallery_md, begin, one_share, plan)
    return half, index, jnp.zeros(batch, bool)


def lowest(score_nm: Float32[Array, "n m"], count: int) -> tuple[Float32[Array, "n c"], Int32[Array, "n c"]]:
    """Return `(score, place)` of the `count` lowest of every row, in no order; any of those that are equal; no NaN."""
    n, m = score_nm.shape
    if m % _BLOCK or m // _BLOCK <= 2 * count:
        return _select(score_nm, count)
    block_nbc = score_nm.reshape(n, m // _BLOCK, _BLOCK)
    _, chosen = _select(block_nbc.min(-1), count)
    held = jnp.take_along_axis(block_nbc, chosen[..., None], 1).reshape(n, count * _BLOCK)
    score, place = _select(held, count)
    return score, jnp.take_along_axis(chosen, place // _BLOCK, 1) * _BLOCK + place % _BLOCK


def ascending(score_nm: Float32[Array, "n m"], count: int) -> tuple[Float32[Array, "n c"], Int32[Array, "n c"]]:
    """Return `(score, place)` of the `count` lowest of every row, ascending; the lower place among equals."""
    negated, place = lax.top_k(-score_nm, count)
    return -negated, place


def _select(score_nm: Array, count: int) -> tuple[Array, Array]:
    by_top_k, by_count = partial(ascending, count=count), partial(by_counting, count=count)
    found: tuple[Array, Array] = lax.platform_dependent(score_nm, cuda=by_count, rocm=by_count, default=by_top_k)
    return found


def by_counting(score_nm: Float32[Array, "n m"], count: int) -> tuple[Float32[Array, "n c"], Int32[Array, "n c"]]:
    """Return `(score, place)` of the `count` lowest of every row, by ascending place; the first among equals.

    Scores are compared by their bits, as unsigned integers in the same order. One pass over the row finds two bits of
    the largest score that belongs: it counts how many scores are below each of the three next possible values.
    """
    n, m = score_nm.shape
    sign = jnp.uint32(1 << 31)
    bits = lax.bitcast_convert_type(score_nm, jnp.uint32)
    bits = jnp.where(bits == sign, jnp.uint32(0), bits)  # -0.0; adding 0.0 is optimised away
    key_nm = jnp.where(bits >= sign, ~bits, bits | sign)

    def settle(step: Array, last: Array) -> Array:
        shift: Array = jnp.uint32(32 - _BITS) - jnp.uint32(_BITS) * step.astype(jnp.uint32)
        digit = jnp.zeros(n, jnp.uint32)
        for value in range(1, 1 << _BITS):
            below = jnp.sum(key_nm < (last | jnp.uint32(value) << shift)[:, None], 1, dtype=jnp.int32)
            digit += (below < count).astype(jnp.uint32)
        return last | digit << shift

    last = lax.fori_loop(0, 32 // _BITS, settle, jnp.zeros(n, jnp.uint32))[:, None]
    below_nm, equal_nm = key_nm < last, key_nm == last
    room = count - jnp.sum(below_nm, 1, keepdims=True, dtype=jnp.int32)
    # Of the equals the first are taken. Running sums number them, and then all that are taken.
    taken_nm = below_nm | (equal_nm & (jnp.cumsum(equal_nm, 1, dtype=jnp.int32) <= room))
    column_m = jnp.arange(m, dtype=jnp.int32)
    # Every score that is not taken goes to a place of its own beyond the end, and is dropped.
    goes_nm = jnp.where(taken_nm, jnp.cumsum(taken_nm, 1, dtype=jnp.int32) - 1, count + column_m)
    row_n1 = jnp.arange(n)[:, None]
    place_nc = jnp.zeros((n, count), jnp.int32)
    place_nc = place_nc.at[row_n1, goes_nm].set(
        jnp.broadcast_to(column_m, (n, m)), mode="drop", unique_indices=True, indices_are_sorted=False
    )
    return jnp.take_along_axis(score_nm, place_nc, 1), place_nc
