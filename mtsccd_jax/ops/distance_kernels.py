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

_BFLOAT16_BITS = 8  # significant ones

# Probabilistic bound on the rounding of a d-term inner product: a small multiple of sqrt(d) units (Higham and Mary, "A
# new approach to probabilistic rounding error analysis", 2019). The worst seen, on constant vectors, is 2.9.
_ROUNDING_MARGIN = 8.0


class Space(NamedTuple):
    """What is measured, once `metric` and `unit_length` are read together."""

    angular: bool  # distances of directions; False: of the features as they are
    square_root: bool  # report sqrt(2 x half squared); False: half squared itself, the cosine distance


def prepare(
    x_nd: jax.Array, y_md: jax.Array, space: Space, axis: str | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The features, and a power of two that keeps their squares inside float32; scaling by it is exact.

    Directions do not depend on length: there every row is scaled by itself, and the common scale is 1. `axis` names the
    mesh axis that both are spread along, for the scale to be that of all devices.
    """
    if not space.angular:
        largest = jnp.maximum(jnp.max(jnp.abs(x_nd)), jnp.max(jnp.abs(y_md)))
        return x_nd, y_md, _inverse_power_of_two(largest if axis is None else lax.pmax(largest, axis))
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
    high = _leading_bits(x, 12)
    factor = _leading_bits(xy / xx_safe, 12)[..., None]
    rest = (y - factor * high) - factor * (x - high)
    rest = rest - x * (jnp.sum(x * rest, -1) / xx_safe)[..., None]
    sine_squared = jnp.sum(jnp.square(rest), -1) / yy_safe
    cosine = jnp.clip(xy / (jnp.sqrt(xx_safe) * jnp.sqrt(yy_safe)), -1, 1)
    value = jnp.where(cosine > 0, sine_squared / (1 + jnp.maximum(cosine, 0)), 1 - cosine)
    # A zero vector is a direction of its own: at 0 from another, orthogonal to everything else.
    return jnp.where((xx > 0) & (yy > 0), value, jnp.where((xx > 0) | (yy > 0), 1.0, 0.0))


def _leading_bits(x: jax.Array, count: int) -> jax.Array:
    """The values rounded to `count` significant bits."""
    dropped = 24 - count
    bits = lax.bitcast_convert_type(x, jnp.uint32) + jnp.uint32(1 << (dropped - 1))
    return lax.bitcast_convert_type(bits >> dropped << dropped, jnp.float32)


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


def first_product(x_nd: jax.Array, y_md: jax.Array, coarse: bool) -> jax.Array:
    """Inner products (n, m) to propose candidates by: sums in float32, of bfloat16 products where those are fast.

    `split_product` on accelerators. On a CPU the factors are rounded to bfloat16 if `coarse`, and this is `product`
    otherwise. `first_rounding` bounds the error.
    """

    def rounded(x: jax.Array, y: jax.Array) -> jax.Array:
        return _bfloat16_product(_halves(x)[0], _halves(y)[0]) if coarse else product(x, y)

    return lax.platform_dependent(
        x_nd, y_md, cuda=split_product, rocm=split_product, tpu=split_product, default=rounded
    )


def split_product(x_nd: jax.Array, y_md: jax.Array) -> jax.Array:
    """Inner products (n, m) of bfloat16 numbers, good to 16 bits ("bf16x3").

    Every factor is split into a bfloat16 number and the rest, again in bfloat16, and of the four products the one of
    the rests is left out. Side by side along the width the other three are one product, summed in float32.
    """
    (x_high, x_low), (y_high, y_low) = _halves(x_nd), _halves(y_md)
    return _bfloat16_product(jnp.concatenate([x_high, x_high, x_low], 1), jnp.concatenate([y_high, y_low, y_high], 1))


def first_rounding(x_nd: jax.Array, y_md: jax.Array, coarse: bool, axis: str | None = None) -> jax.Array:
    """Bound on what `first_product` does to |x|^2/2 + |y|^2/2 - x.y, relative to (|x|^2 + |y|^2)/2: a scalar.

    Leaving x - x' out of a product changes it by at most |x - x'| |y|, and |x| |y| is at most (|x|^2 + |y|^2)/2. `axis`
    names the mesh axis that both are spread along: the bound then holds for the rows of any device with those of any.
    """
    width = x_nd.shape[1]

    def split(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.float32(split_rounding(width))

    def rounded(x: jax.Array, y: jax.Array) -> jax.Array:
        if not coarse:
            return jnp.float32(rounding(width))
        x_share, y_share = _left_out(x), _left_out(y)
        if axis is not None:
            x_share, y_share = lax.pmax((x_share, y_share), axis)  # each by itself: their largest may lie apart
        return 1.01 * (x_share + y_share + x_share * y_share) + rounding(width)

    return lax.platform_dependent(x_nd, y_md, cuda=split, rocm=split, tpu=split, default=rounded)


def split_rounding(width: int) -> float:
    """`rounding` for `split_product`.

    Two numbers of 8 bits leave 2^-16 of each factor out, and the product of the rests is 2^-16 again. Tensor cores cut
    their sums of 16 terms off instead of rounding them, so that those errors need not cancel.
    """
    return 3 * 2.0**-16 + rounding(3 * width) + EPS * 3 * width / 16


def _halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The leading 8 bits, which are a bfloat16 number, and of what that leaves the leading 8 bits again."""
    high = _leading_bits(x, _BFLOAT16_BITS)
    return high.astype(jnp.bfloat16), _leading_bits(x - high, _BFLOAT16_BITS).astype(jnp.bfloat16)


def _left_out(x_nd: jax.Array) -> jax.Array:
    """The largest share of a row's length that rounding to bfloat16 leaves out."""
    rest = x_nd - _leading_bits(x_nd, _BFLOAT16_BITS)
    xx, rest = jnp.sum(x_nd * x_nd, -1), jnp.sum(rest * rest, -1)
    return jnp.sqrt(jnp.max(jnp.where(xx > 0, rest / jnp.where(xx > 0, xx, 1), 0)))


def _bfloat16_product(x_nd: jax.Array, y_md: jax.Array) -> jax.Array:
    return lax.dot_general(x_nd, y_md, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32)


def pad_rows(x_nd: jax.Array, rows: int) -> jax.Array:
    """The matrix with zero rows appended, `rows` in all."""
    return jnp.pad(x_nd, ((0, rows - x_nd.shape[0]), (0, 0)))


def tiling(n: int, chunk: int, multiple: int = 1) -> tuple[int, int]:
    """`(tiles, rows of a tile)` that cover n rows evenly, a tile being at most about `chunk` rows."""
    tiles = -(-n // chunk)
    return tiles, -(-n // (tiles * multiple)) * multiple
