"""All pairs of 64-bit hashes within a Hamming radius: exact, tile by tile, without ever holding all distances."""

from collections.abc import Callable
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Int64, UInt64

from mtsccd_jax.ops.calls import own_settings

_TILE = 4096  # queries and gallery hashes that are compared at once: 16 MiB of distances


class HashPairs(NamedTuple):
    """Pairs of hashes: the query, its variant that is nearest (the first of equals), the gallery's hash, the bits."""

    query: Int64[np.ndarray, " p"]
    variant: Int64[np.ndarray, " p"]
    gallery: Int64[np.ndarray, " p"]
    distance: Int64[np.ndarray, " p"]


@own_settings()
def hamming_neighbors(
    query_nt: UInt64[np.ndarray, "n t"],
    gallery_m: UInt64[np.ndarray, " m"],
    radius: int,
    *,
    itself: bool = False,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> HashPairs:
    """Return every pair of which some variant of the query is within `radius` bits of the gallery's hash.

    Pairs ascend by query, then by gallery. The t variants of a query are, for example, the hashes of its turns.

    Args:
        query_nt: The variants of each query.
        gallery_m: The hashes to compare with.
        radius: The most bits that may differ, 0 to 64.
        itself: The gallery is the queries themselves: a pair is compared once, and no hash with itself.
        progress: Called with (tiles done, tiles in all).

    Raises:
        ValueError: No variants, a radius outside 0 to 64, or `itself` with unequal lengths.
    """
    n, m = len(query_nt), len(gallery_m)
    if query_nt.shape[1] == 0 or not 0 <= radius <= 64:
        raise ValueError(f"radius {radius} must be 0 to 64, of {query_nt.shape[1]} variants at least 1")
    if itself and n != m:
        raise ValueError(f"itself: {n} queries and {m} hashes in the gallery")
    query, gallery = _tiles(query_nt), _tiles(gallery_m[:, None])
    pairs = [(i, j) for i in range(len(query)) for j in range(len(gallery)) if j >= i or not itself]
    found = [_NONE]
    for done, (i, j) in enumerate(pairs, start=1):
        found.append(_of_tile(query[i], gallery[j], radius, i * _TILE, j * _TILE, n, m, itself))
        progress(done, len(pairs))
    query_p, variant_p, gallery_p, distance_p = np.concatenate(found, axis=1)
    order = np.lexsort((gallery_p, query_p))
    return HashPairs(query_p[order], variant_p[order], gallery_p[order], distance_p[order])


_NONE = np.empty((4, 0), np.int64)


def _tiles(hash_nt: np.ndarray) -> list[Array]:
    """Return the hashes in tiles as halves, (_TILE, t, 2) uint32; the last one is padded."""
    count = -(-len(hash_nt) // _TILE)
    padded = np.pad(hash_nt, ((0, count * _TILE - len(hash_nt)), (0, 0)))
    halves = padded.view(np.uint32).reshape(count, _TILE, hash_nt.shape[1], 2)
    return [jnp.asarray(tile) for tile in halves]


def _of_tile(query: Array, gallery: Array, radius: int, i: int, j: int, n: int, m: int, itself: bool) -> np.ndarray:
    """Return the pairs of one tile, (4, p) int64."""
    near, any_near = _within(query, gallery, jnp.uint32(radius))
    rows = np.flatnonzero(any_near)
    if not len(rows):
        return _NONE
    at, column = np.nonzero(np.asarray(near)[rows])
    row = rows[at]
    inside = (i + row < n) & (j + column < m) & ((j + column > i + row) | (not itself))
    row, column = row[inside], column[inside]
    bits = _bits(np.asarray(query)[row], np.asarray(gallery)[column])
    variant = bits.argmin(1)
    return np.stack([i + row, variant, j + column, bits[np.arange(len(bits)), variant]])


@jax.jit
def _within(query: Array, gallery: Array, radius: Array) -> tuple[Array, Array]:
    """Return which pairs of a tile are within the radius by some variant, and which queries have any."""
    low, high = gallery[:, 0, 0], gallery[:, 0, 1]

    def distance(variant: int) -> Array:
        half = partial(lax.slice_in_dim, query[:, variant], axis=1)
        return lax.population_count(half(0, 1) ^ low) + lax.population_count(half(1, 2) ^ high)

    # Written out per variant, the minimum takes vector instructions: five times as fast as a reduction over an axis.
    near = reduce(jnp.minimum, map(distance, range(query.shape[1]))) <= radius
    return near, near.any(1)


def _bits(query_pth: np.ndarray, gallery_p1h: np.ndarray) -> np.ndarray:
    """Return the bits in which each variant of a query differs from its hash, (p, t) int64."""
    bits: np.ndarray = np.bitwise_count(query_pth ^ gallery_p1h).sum(-1, dtype=np.int64)
    return bits
