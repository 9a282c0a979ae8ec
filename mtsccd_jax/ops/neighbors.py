"""Exact nearest neighbours without ever holding all distances, on one device or round a ring of them.

A matrix product proposes candidates, direct differences decide among them, and a bound on the product's rounding
certifies that no other row could have won. Queries without a certificate are asked again: by a product in float32 where
the first one was in bfloat16, and what is then left by direct differences with every row.

Each device keeps its share of the queries while the shares of the gallery go round, so that every query meets every
row, and no device holds more of the gallery than its own share, the one it works on and the one that is on its way.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

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
from mtsccd_jax.ops.top_k import ascending, lowest

_CANDIDATES_AT_ONCE = 32  # of a query in one share of the gallery
_ASKED_AT_ONCE = 128
_SETTLED_AT_ONCE = 16
_UNIT_SLACK = 16 * EPS  # rounding of two unit vectors, in distance

_Product = Callable[[jax.Array, jax.Array], jax.Array]
# Half the squared distances (n, k), the rows they are to (n, k), and which queries are without a certificate (n,).
_Found = tuple[jax.Array, jax.Array, jax.Array]


class Plan(NamedTuple):
    """What a search is compiled for."""

    k: int
    space: Space
    query_chunk: int
    gallery_chunk: int
    block_elements: int  # differences taken at once
    coarse: bool  # the first product of a CPU is in bfloat16
    devices: int = 1
    axis: str | None = None  # the mesh axis that the devices are along; None for one device
    gallery_rows: int = 0  # of all devices' shares together; what lies beyond fills the last shares up


class _View(NamedTuple):
    """Where features are seen from, and the bound on a product's rounding from there."""

    origin_d: jax.Array
    scale: jax.Array
    rounding: jax.Array | float

    def moved(self, x_nd: jax.Array, space: Space) -> jax.Array:
        return move(x_nd, self.origin_d, self.scale, space)

    def lower(self, moved_nd: jax.Array) -> jax.Array:
        """|x|^2/2 less what rounding may bring to |x|^2/2 + |y|^2/2 - x.y: with both so lowered, a lower bound."""
        return (0.5 - 0.5 * self.rounding) * jnp.sum(jnp.square(moved_nd), -1)


def search(query_nd: jax.Array, gallery_md: jax.Array, plan: Plan) -> tuple[jax.Array, jax.Array]:
    """`(distance_nk ascending, index_nk int32)`; the traceable body of `ops.distance.nearest_neighbors`.

    Args:
        query_nd: the queries of this device.
        gallery_md: the share of the gallery that this device brings.
        plan: what is asked for.
    """
    n, space = query_nd.shape[0], plan.space
    query_nd, gallery_md, scale = prepare(query_nd, gallery_md, space, plan.axis)
    origin = centre(gallery_md, scale, space)
    if plan.axis is not None:
        origin = lax.pmean(origin, plan.axis)  # any origin is right; every share has as many rows
    exact = _View(origin, scale, rounding(origin.shape[0]))
    coarse = first_rounding(exact.moved(query_nd, space), exact.moved(gallery_md, space), plan.coarse, plan.axis)
    chunks, rows = tiling(n, plan.query_chunk)
    query_crd = pad_rows(query_nd, chunks * rows).reshape(chunks, rows, -1)
    first = partial(first_product, coarse=plan.coarse)
    found = _by_product(query_crd, gallery_md, exact._replace(rounding=coarse), first, plan)
    found = (found[0][:n], found[1][:n], found[2][:n])
    if plan.coarse:
        found = _ask_again(
            found,
            query_nd,
            _ASKED_AT_ONCE,
            lambda query: _by_product(query[None], gallery_md, exact, product, plan),
            plan,
        )
    found = _ask_again(
        found, query_nd, _SETTLED_AT_ONCE, lambda query: _by_differences(query, gallery_md, scale, plan), plan
    )
    return finish(found[0], scale, space), found[1]


def _by_product(query_crd: jax.Array, gallery_md: jax.Array, view: _View, product: _Product, plan: Plan) -> _Found:
    """The k nearest rows of each query, (chunks x rows) of them, as far as the product's rounding lets it be known."""
    (chunks, rows, width), space, k = query_crd.shape, plan.space, plan.k
    m = plan.gallery_rows
    # Beyond k, a margin in which rounding may still change the order: wide enough for bfloat16 among ordinary features.
    count = min(m, k + max(22, min(k, k // 2 + 64)))
    score, candidate = _candidates(query_crd, gallery_md, count, view, product, plan)
    query_nd = query_crd.reshape(chunks * rows, width)
    # Sorted, so that the lower place among equals is the lower row.
    candidate = jnp.sort(candidate.reshape(-1, count), 1)
    half, place = ascending(_exact(query_nd, gallery_md, candidate, view.scale, plan), k)
    index = jnp.take_along_axis(candidate, place, 1)
    if count == m:
        return half, index, jnp.zeros(chunks * rows, bool)
    # No row that was not proposed can be nearer than this; it must be farther than the last that was chosen.
    lower = lax.map(lambda query: view.lower(view.moved(query, space)), query_crd)
    bound = jnp.max(score, -1) + lower
    farthest = jnp.sqrt(half[:, -1]) * (1 + 8 * EPS) + (_UNIT_SLACK if space.angular else 0.0)
    return half, index, ~(farthest < jnp.sqrt(jnp.maximum(bound.ravel(), 0)))


def _round(gallery_md: jax.Array, begin: Any, visit: Callable[[Any, jax.Array, jax.Array], Any], plan: Plan) -> Any:
    """What `visit(so far, share, first row of the share)` makes of every share of the gallery in turn, on each device.

    A share travels on to the next device while it is worked on, and is home again at the end.
    """
    if plan.axis is None:
        return visit(begin, gallery_md, jnp.int32(0))
    axis, devices, own = plan.axis, plan.devices, lax.axis_index(plan.axis)

    def step(turn: jax.Array, state: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        so_far, share = state
        coming = lax.ppermute(share, axis, [(device, (device - 1) % devices) for device in range(devices)])
        return visit(so_far, share, (own + turn) % devices * len(share)), coming

    return lax.fori_loop(0, devices, step, (begin, gallery_md))[0]


def _candidates(
    query_crd: jax.Array, gallery_md: jax.Array, count: int, view: _View, product: _Product, plan: Plan
) -> tuple[jax.Array, jax.Array]:
    """`(score, index)`, each (chunks, rows, count): the rows of the lowest |g|^2/2 - q.g for every query, in no order.

    A share passes tile by tile, and every tile meets all queries, so that it is centred once.
    """
    m, space = gallery_md.shape[0], plan.space
    tiles, columns = tiling(m, plan.gallery_chunk, multiple=16)
    columns = min(m, columns)

    def one_share(best: tuple[jax.Array, jax.Array], share: jax.Array, first: jax.Array) -> tuple[jax.Array, jax.Array]:
        def one_tile(best: tuple[jax.Array, jax.Array], tile: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
            # The last tile is moved back to end with the share; rows that it has in common with the one before do not
            # count, nor do those that fill the gallery up.
            start = jnp.minimum(tile * columns, m - columns)
            gallery = view.moved(lax.dynamic_slice_in_dim(share, start, columns), space)
            row = start + jnp.arange(columns)
            counts = (row >= tile * columns) & (first + row < plan.gallery_rows)
            bias = jnp.where(counts, view.lower(gallery), jnp.inf)

            def merge(chunk: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
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
    return _round(gallery_md, (jnp.full(shape, jnp.inf), jnp.zeros(shape, jnp.int32)), one_share, plan)


def _exact(
    query_nd: jax.Array, gallery_md: jax.Array, candidate_nc: jax.Array, scale: jax.Array, plan: Plan
) -> jax.Array:
    """Half the squared distance to every candidate, (n, c), by direct differences; candidates ascend in every row.

    Queries pass in blocks that fit a cache: one gather of all candidates took five times as long on a CPU.
    """
    (n, count), (m, width) = candidate_nc.shape, gallery_md.shape
    # Of a share of the gallery a query has few candidates or many: they are taken some at a time.
    some = count if plan.axis is None else min(count, _CANDIDATES_AT_ONCE)
    blocks, rows = tiling(n, max(1, plan.block_elements // (some * width)))

    def one_share(half_brc: jax.Array, share: jax.Array, first: jax.Array) -> jax.Array:
        def one_block(block: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
            query, candidate, half = block
            start, stop = (jnp.sum(candidate < end, 1, dtype=jnp.int32) for end in (first, first + m))

            def take(turn: jax.Array, half: jax.Array) -> jax.Array:
                column = start[:, None] + turn * some + jnp.arange(some)
                row = jnp.take_along_axis(candidate, jnp.minimum(column, count - 1), 1) - first
                found = share.at[jnp.clip(row, 0, m - 1)].get(mode="promise_in_bounds")
                value = half_squared(query[:, None], found, scale, plan.space)
                column = jnp.where(column < stop[:, None], column, count)
                return half.at[jnp.arange(rows)[:, None], column].set(value, mode="drop")

            return lax.fori_loop(0, -(-jnp.max(stop - start) // some), take, half)

        return lax.map(one_block, (*blocked, half_brc))

    blocked = tuple(pad_rows(part, blocks * rows).reshape(blocks, rows, -1) for part in (query_nd, candidate_nc))
    return _round(gallery_md, jnp.zeros((blocks, rows, count)), one_share, plan).reshape(-1, count)[:n]


def _ask_again(
    found: _Found, query_nd: jax.Array, at_once: int, ask: Callable[[jax.Array], _Found], plan: Plan
) -> _Found:
    """What was found, with every query that has no certificate asked again, `at_once` of them together."""
    n, without = query_nd.shape[0], found[2]
    at_once = min(n, at_once)
    (which,) = jnp.nonzero(without, size=n + at_once, fill_value=n)
    batches = -(-jnp.sum(without, dtype=jnp.int32) // at_once)
    if plan.axis is not None:
        batches = lax.pmax(batches, plan.axis)  # the gallery goes round for all devices together

    def one_batch(batch: jax.Array, found: _Found) -> _Found:
        start = jnp.minimum(batch * at_once, n)
        row = lax.dynamic_slice_in_dim(which, start, at_once)
        answer = ask(query_nd.at[row].get(mode="clip"))
        # The last batch is filled with a row that does not exist, and that is dropped here.
        half, index, without = (old.at[row].set(new, mode="drop") for old, new in zip(found, answer, strict=True))
        return half, index, without

    return lax.fori_loop(0, batches, one_batch, found)


def _by_differences(query_bd: jax.Array, gallery_md: jax.Array, scale: jax.Array, plan: Plan) -> _Found:
    """The k nearest rows of each query by direct differences with the whole gallery."""
    (m, width), batch, k = gallery_md.shape, query_bd.shape[0], plan.k
    rows = max(1, min(m, plan.block_elements // (batch * width)))

    def one_share(best: tuple[jax.Array, jax.Array], share: jax.Array, first: jax.Array) -> tuple[jax.Array, jax.Array]:
        def one_tile(tile: jax.Array, half_bm: jax.Array) -> jax.Array:
            start = jnp.minimum(tile * rows, m - rows)
            gallery = lax.dynamic_slice_in_dim(share, start, rows)
            half = half_squared(query_bd[:, None], gallery, scale, plan.space)
            return lax.dynamic_update_slice_in_dim(half_bm, half, start, 1)

        half = lax.fori_loop(0, -(-m // rows), one_tile, jnp.zeros((batch, m)))
        half = jnp.where(first + jnp.arange(m) < plan.gallery_rows, half, jnp.inf)
        half, place = ascending(half, min(k, m))
        merged = (jnp.concatenate(parts, 1) for parts in zip(best, (half, place + first), strict=True))
        half, index = lax.sort(tuple(merged), dimension=1, num_keys=2)
        return half[:, :k], index[:, :k]

    begin = jnp.full((batch, k), jnp.inf), jnp.full((batch, k), jnp.iinfo(jnp.int32).max, jnp.int32)
    half, index = _round(gallery_md, begin, one_share, plan)
    return half, index, jnp.zeros(batch, bool)
