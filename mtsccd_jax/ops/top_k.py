"""The lowest of many scores, without sorting all of them.

The c lowest scores of a long row lie in the c blocks of columns with the lowest minima. So blocks are selected first,
then columns. How a selection is made depends on the platform. GPUs select fast only up to 16 scores and sort whole rows
beyond. There the largest score that belongs is found bit by bit, by counting, and the scores that belong are then moved
together.
"""

from functools import partial

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float32, Int32

_BLOCK = 16  # columns that are represented by their minimum
_BITS = 2  # how many of a score's 32 bits one count settles


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
