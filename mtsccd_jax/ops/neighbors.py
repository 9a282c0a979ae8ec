"""Exact nearest neighbours without ever holding all distances.

A matrix product proposes candidates, direct differences decide among them, and a bound on the product's rounding
certifies that no other row could have won. Queries without a certificate are compared with every row directly.
"""

import jax
import jax.numpy as jnp
from jax import lax

from mtsccd_jax.ops.difference import (
    BLOCK_ELEMENTS,
    EPS,
    Space,
    centre,
    finish,
    half_squared,
    move,
    pad_rows,
    prepare,
    product,
    rounding,
    tiling,
)

_BLOCK = 16  # columns whose minimum stands for them in the first pass of a selection
_SETTLED_AT_ONCE = 16
_UNIT_SLACK = 16 * EPS  # rounding of two unit vectors, in distance


def search(
    query_nd: jax.Array, gallery_md: jax.Array, k: int, space: Space, query_chunk: int, gallery_chunk: int
) -> tuple[jax.Array, jax.Array]:
    """`(distance_nk ascending, index_nk int32)`; the traceable body of `ops.distance.nearest_neighbors`."""
    n, m = query_nd.shape[0], gallery_md.shape[0]
    count = min(m, k + max(6, k // 2))  # beyond k, a margin in which rounding may still change the order
    query_nd, gallery_md, scale = prepare(query_nd, gallery_md, space)
    origin = centre(gallery_md, scale, space)
    chunks, rows = tiling(n, query_chunk)
    query_crd = pad_rows(query_nd, chunks * rows).reshape(chunks, rows, -1)
    score, candidate = _candidates(query_crd, gallery_md, origin, scale, space, count, gallery_chunk)

    def decide(chunk: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        query, score, candidate = chunk
        half, index = _rerank(query, gallery_md, candidate, k, scale, space)
        if count == m:
            return half, index, jnp.zeros(rows, bool)
        # No row that was not proposed can be nearer than this; it must be farther than the last that was chosen.
        moved = move(query, origin, scale, space)
        bound = score[:, -1] + _lower(moved)
        farthest = jnp.sqrt(half[:, -1]) * (1 + 8 * EPS) + (_UNIT_SLACK if space.angular else 0.0)
        return half, index, ~(farthest < jnp.sqrt(jnp.maximum(bound, 0)))

    half, index, uncertain = lax.map(decide, (query_crd, score, candidate))
    half, index = half.reshape(-1, k)[:n], index.reshape(-1, k)[:n]
    half, index = _settle(half, index, uncertain.ravel()[:n], query_nd, gallery_md, scale, space)
    return finish(half, scale, space), index


def _lower(moved_nd: jax.Array) -> jax.Array:
    """|x|^2/2 less the rounding that it may bring to |x|^2/2 + |y|^2/2 - x.y: with both so lowered, a lower bound."""
    return (0.5 - 0.5 * rounding(moved_nd.shape[1])) * jnp.sum(jnp.square(moved_nd), -1)


def _candidates(
    query_crd: jax.Array,
    gallery_md: jax.Array,
    origin: jax.Array,
    scale: jax.Array,
    space: Space,
    count: int,
    gallery_chunk: int,
) -> tuple[jax.Array, jax.Array]:
    """`(score, index)`, each (chunks, rows, count): the rows of the lowest |g|^2/2 - q.g for every query, ascending.

    The gallery passes tile by tile, and every tile meets all queries, so that it is centred once.
    """
    m = gallery_md.shape[0]
    tiles, columns = tiling(m, gallery_chunk, _BLOCK)
    columns = min(m, columns)

    def one_tile(best: tuple[jax.Array, jax.Array], tile: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        # The last tile is moved back to end with the gallery; rows that it shares with the one before do not count.
        start = jnp.minimum(tile * columns, m - columns)
        gallery = move(lax.dynamic_slice_in_dim(gallery_md, start, columns), origin, scale, space)
        bias = jnp.where(start + jnp.arange(columns) >= tile * columns, _lower(gallery), jnp.inf)

        def merge(chunk: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            query, best_score, best_index = chunk
            scores = bias - product(move(query, origin, scale, space), gallery)
            score, index = lowest(scores, min(count, columns))
            score, place = _top(jnp.concatenate([best_score, score], 1), count)
            return score, jnp.take_along_axis(jnp.concatenate([best_index, index + start], 1), place, 1)

        return lax.map(merge, (query_crd, *best)), None

    shape = (*query_crd.shape[:2], count)
    start = jnp.full(shape, jnp.inf), jnp.zeros(shape, jnp.int32)
    return lax.scan(one_tile, start, jnp.arange(tiles))[0]


def _top(score_nm: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The `count` lowest of every row and their places, ascending; the lower place among equals."""
    negated, place = lax.top_k(-score_nm, count)
    return -negated, place


def lowest(score_nm: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """`(score, place)` of the `count` lowest of every row, ascending, in any order among equals.

    Of a long row only `count` blocks of columns can hold them, those of the lowest minima: select blocks, then columns.
    """
    n, m = score_nm.shape
    if m % _BLOCK or m // _BLOCK <= 2 * count:
        return _top(score_nm, count)
    block_nbc = score_nm.reshape(n, m // _BLOCK, _BLOCK)
    _, chosen = _top(block_nbc.min(-1), count)
    held = jnp.take_along_axis(block_nbc, chosen[..., None], 1).reshape(n, count * _BLOCK)
    score, place = _top(held, count)
    return score, jnp.take_along_axis(chosen, place // _BLOCK, 1) * _BLOCK + place % _BLOCK


def _rerank(
    query_nd: jax.Array, gallery_md: jax.Array, candidate_nc: jax.Array, k: int, scale: jax.Array, space: Space
) -> tuple[jax.Array, jax.Array]:
    """The k nearest candidates by direct differences: `(half squared distance, index)`, ties by index."""
    candidate_nc = jnp.sort(candidate_nc, 1)  # so that the lower place among equals is the lower index
    (n, count), width = candidate_nc.shape, query_nd.shape[1]
    # In blocks that fit a cache: one gather of all candidates took five times as long on a CPU.
    blocks, rows = tiling(n, max(1, BLOCK_ELEMENTS // (count * width)))

    def exact(block: tuple[jax.Array, jax.Array]) -> jax.Array:
        query, candidate = block
        found = gallery_md.at[candidate].get(mode="promise_in_bounds")
        return half_squared(query[:, None], found, scale, space)

    parts = (pad_rows(part, blocks * rows).reshape(blocks, rows, -1) for part in (query_nd, candidate_nc))
    half, place = _top(lax.map(exact, tuple(parts)).reshape(-1, count)[:n], k)
    return half, jnp.take_along_axis(candidate_nc, place, 1)


def _settle(
    half_nk: jax.Array,
    index_nk: jax.Array,
    uncertain_n: jax.Array,
    query_nd: jax.Array,
    gallery_md: jax.Array,
    scale: jax.Array,
    space: Space,
) -> tuple[jax.Array, jax.Array]:
    """The result, with every uncertain query compared with the whole gallery by direct differences."""
    (n, k), (m, width) = half_nk.shape, gallery_md.shape
    batch = min(n, _SETTLED_AT_ONCE)
    rows = max(1, min(m, BLOCK_ELEMENTS // (batch * width)))
    (uncertain,) = jnp.nonzero(uncertain_n, size=n + batch, fill_value=n)

    def settle(step: jax.Array, result: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        which = lax.dynamic_slice_in_dim(uncertain, step * batch, batch)
        query = query_nd.at[which].get(mode="clip")[:, None]

        def one_tile(tile: jax.Array, half_bm: jax.Array) -> jax.Array:
            start = jnp.minimum(tile * rows, m - rows)
            half = half_squared(query, lax.dynamic_slice_in_dim(gallery_md, start, rows), scale, space)
            return lax.dynamic_update_slice_in_dim(half_bm, half, start, 1)

        half, index = _top(lax.fori_loop(0, -(-m // rows), one_tile, jnp.zeros((batch, m))), k)
        # The last batch is filled with a row that does not exist, and that is dropped here.
        return result[0].at[which].set(half, mode="drop"), result[1].at[which].set(index, mode="drop")

    return lax.fori_loop(0, -(-uncertain_n.sum() // batch), settle, (half_nk, index_nk))
