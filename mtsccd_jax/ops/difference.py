"""The arithmetic under the distances: exact differences, and the matrix product that says where to look.

Everything here is pure and traceable. "Half squared" is half the squared Euclidean distance, of the features or of
their directions; for directions that is the cosine distance, so one quantity serves every metric.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

EPS = float(np.finfo(np.float32).eps)
BLOCK_ELEMENTS = 1 << 21  # differences taken at once: 8 MiB of float32, about a core's cache

# Probabilistic bound on the rounding of a d-term inner product: a small multiple of sqrt(d) units (Higham and Mary, "A
# new approach to probabilistic rounding error analysis", 2019). The worst seen, on constant vectors, is 2.9.
_ROUNDING_MARGIN = 8.0


class Space(NamedTuple):
    """What is measured, once `metric` and `unit_length` are read together."""

    angular: bool  # distances of directions; False: of the features as they are
    square_root: bool  # report sqrt(2 x half squared); False: half squared itself, the cosine distance


def prepare(x_nd: jax.Array, y_md: jax.Array, space: Space) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The features, and a power of two that keeps their squares inside float32; scaling by it is exact.

    Directions do not depend on length: there every row is scaled by itself, and the common scale is 1.
    """
    if not space.angular:
        return x_nd, y_md, _inverse_power_of_two(jnp.maximum(jnp.max(jnp.abs(x_nd)), jnp.max(jnp.abs(y_md))))
    x_nd, y_md = (f * _inverse_power_of_two(jnp.max(jnp.abs(f), -1, keepdims=True)) for f in (x_nd, y_md))
    return x_nd, y_md, jnp.float32(1)


def _inverse_power_of_two(largest: jax.Array) -> jax.Array:
    """2^-e with largest * 2^-e in [1, 2), clipped to normal float32 numbers; 1 for 0."""
    exponent = (lax.bitcast_convert_type(largest, jnp.int32) >> 23) & 0xFF
    inverse = jnp.clip(254 - exponent, 1, 253) << 23
    return jnp.where(largest > 0, lax.bitcast_convert_type(inverse, jnp.float32), 1.0)


def half_squared(x: jax.Array, y: jax.Array, scale: jax.Array, space: Space) -> jax.Array:
    """Half the squared distance over the last axis, by differences of prepared features.

    For directions that is 1 - cos(angle) = sin^2 / (1 + cos), which keeps the digits of a small angle; the sine comes
    from what is left of y without its part along x. That part is taken off in two steps. The first removes c x, with c
    cut to 12 bits and x in two halves of 12, so that no product rounds (for near-duplicates c is 1 and this is the
    plain difference); the second removes what little is left along x.
    """
    if not space.angular:
        return 0.5 * jnp.sum(jnp.square((x - y) * scale), -1)
    xx, yy, xy = jnp.sum(x * x, -1), jnp.sum(y * y, -1), jnp.sum(x * y, -1)
    xx_safe, yy_safe = jnp.where(xx > 0, xx, 1), jnp.where(yy > 0, yy, 1)
    high = _leading_bits(x)
    factor = _leading_bits(xy / xx_safe)[..., None]
    rest = (y - factor * high) - factor * (x - high)
    rest = rest - x * (jnp.sum(x * rest, -1) / xx_safe)[..., None]
    sine_squared = jnp.sum(jnp.square(rest), -1) / yy_safe
    cosine = jnp.clip(xy / (jnp.sqrt(xx_safe) * jnp.sqrt(yy_safe)), -1, 1)
    value = jnp.where(cosine > 0, sine_squared / (1 + jnp.maximum(cosine, 0)), 1 - cosine)
    # A zero vector is a direction of its own: at 0 from another, orthogonal to everything else.
    return jnp.where((xx > 0) & (yy > 0), value, jnp.where((xx > 0) | (yy > 0), 1.0, 0.0))


def _leading_bits(x: jax.Array) -> jax.Array:
    """The values rounded to 12 significant bits."""
    bits = lax.bitcast_convert_type(x, jnp.uint32)
    return lax.bitcast_convert_type((bits + jnp.uint32(0x800)) & jnp.uint32(0xFFFFF000), jnp.float32)


def finish(half: jax.Array, scale: jax.Array, space: Space) -> jax.Array:
    """The distance that was asked for, from half the squared distance of scaled features."""
    return jnp.sqrt(2 * half) / scale if space.square_root else half


def centre(x_nd: jax.Array, scale: jax.Array, space: Space) -> jax.Array:
    """The mean of the scaled features, or of their directions: the origin that `move` makes of it."""
    return jnp.mean(_directions(x_nd) if space.angular else x_nd * scale, 0)


def move(x_nd: jax.Array, origin_d: jax.Array, scale: jax.Array, space: Space) -> jax.Array:
    """The scaled features, or their directions, seen from `origin_d`.

    Distances do not notice; the rounding of a product, which goes with the lengths, shrinks.
    """
    return (_directions(x_nd) if space.angular else x_nd * scale) - origin_d


def _directions(x_nd: jax.Array) -> jax.Array:
    """Unit vectors with one more coordinate: the direction that zero vectors have to themselves."""
    norm = jnp.sqrt(jnp.sum(x_nd * x_nd, -1, keepdims=True))
    zero = norm == 0
    return jnp.concatenate([x_nd / jnp.where(zero, 1, norm), zero.astype(jnp.float32)], -1)


def product(x_nd: jax.Array, y_md: jax.Array) -> jax.Array:
    """Inner products (n, m) in full float32: accelerators would otherwise round the factors to TF32 or bfloat16."""
    return lax.dot_general(x_nd, y_md, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)


def rounding(width: int) -> float:
    """Bound on what rounding does to |x|^2/2 + |y|^2/2 - x.y of that width, relative to (|x|^2 + |y|^2)/2."""
    return _ROUNDING_MARGIN * EPS * width**0.5 + 4 * EPS


def pad_rows(x_nd: jax.Array, rows: int) -> jax.Array:
    """The matrix with zero rows appended, `rows` in all."""
    return jnp.pad(x_nd, ((0, rows - x_nd.shape[0]), (0, 0)))


def tiling(n: int, chunk: int, multiple: int = 1) -> tuple[int, int]:
    """`(tiles, rows of a tile)` that cover n rows evenly, a tile being at most about `chunk` rows."""
    tiles = -(-n // chunk)
    return tiles, -(-n // (tiles * multiple)) * multiple
