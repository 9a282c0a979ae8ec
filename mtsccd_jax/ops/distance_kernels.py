"""The arithmetic of distances: exact differences, and the matrix products that say where to look.

Everything here is pure and traceable. "Half squared" is half the squared Euclidean distance, of the features or of
their directions. For directions that is the cosine distance, so one quantity serves every metric.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float32, Shaped

EPS = float(np.finfo(np.float32).eps)

_BFLOAT16_BITS = 8  # significant ones

# Probabilistic bound on the rounding of a d-term inner product: a small multiple of sqrt(d) units (Higham and Mary, "A
# new approach to probabilistic rounding error analysis", 2019). The worst seen, on constant vectors, is 2.9.
_ROUNDING_MARGIN = 8.0


class Space(NamedTuple):
    """Which distance is computed: `metric` and `unit_length` read together."""

    angular: bool  # distances of directions; False: of the features as they are
    square_root: bool  # report sqrt(2 x half squared); False: half squared itself, the cosine distance


def prepare(
    x_nd: Float32[Array, "n d"], y_md: Float32[Array, "m d"], space: Space, axis: str | None = None
) -> tuple[Float32[Array, "n d"], Float32[Array, "m d"], Float32[Array, ""]]:
    """Return the features, and a power of two that keeps their squares inside float32; scaling by it is exact.

    Directions do not depend on length: there every row is scaled by itself, and the common scale is 1. `axis` names the
    mesh axis that both are spread along, so that all devices have one scale.
    """
    if not space.angular:
        largest = jnp.maximum(jnp.max(jnp.abs(x_nd)), jnp.max(jnp.abs(y_md)))
        return x_nd, y_md, _inverse_power_of_two(largest if axis is None else lax.pmax(largest, axis))
    x_nd, y_md = (f * _inverse_power_of_two(jnp.max(jnp.abs(f), -1, keepdims=True)) for f in (x_nd, y_md))
    return x_nd, y_md, jnp.float32(1)


def _inverse_power_of_two(largest: Array) -> Array:
    """Return 2^-e with largest * 2^-e in [1, 2), clipped to normal float32 numbers; 1 for 0."""
    exponent = (lax.bitcast_convert_type(largest, jnp.int32) >> 23) & 0xFF
    inverse = jnp.clip(254 - exponent, 1, 253) << 23
    return jnp.where(largest > 0, lax.bitcast_convert_type(inverse, jnp.float32), 1.0)


def half_squared(
    x: Float32[Array, "*#b d"], y: Float32[Array, "*#b d"], scale: Float32[Array, ""], space: Space
) -> Float32[Array, "..."]:
    """Return half the squared distance over the last axis, by differences of prepared features.

    For directions that is 1 - cos(angle) = sin^2 / (1 + cos), which keeps the digits of a small angle. The sine comes
    from what remains of y without its part along x. That part is removed in two steps. The first removes c x, with c
    rounded to 12 bits and x in two halves of 12, so that no product rounds (for near-duplicates c is 1 and this is the
    plain difference). The second removes the little that is left along x.
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
    # A zero vector is a direction of its own: at distance 0 from another one, orthogonal to everything else.
    return jnp.where((xx > 0) & (yy > 0), value, jnp.where((xx > 0) | (yy > 0), 1.0, 0.0))


def _leading_bits(x: Array, count: int) -> Array:
    """Round the values to `count` significant bits."""
    dropped = 24 - count
    bits = lax.bitcast_convert_type(x, jnp.uint32) + jnp.uint32(1 << (dropped - 1))
    return lax.bitcast_convert_type(bits >> dropped << dropped, jnp.float32)


def finish(half: Float32[Array, "..."], scale: Float32[Array, ""], space: Space) -> Float32[Array, "..."]:
    """Return the distance that was asked for, from half the squared distance of scaled features."""
    return jnp.sqrt(2 * half) / scale if space.square_root else half


def centre(x_nd: Float32[Array, "n d"], scale: Float32[Array, ""], space: Space) -> Float32[Array, " e"]:
    """Return the mean of the scaled features, or of their directions (e = d + 1): an origin for `move`."""
    return jnp.mean(_directions(x_nd) if space.angular else x_nd * scale, 0)


def move(
    x_nd: Float32[Array, "n d"], origin_e: Float32[Array, " e"], scale: Float32[Array, ""], space: Space
) -> Float32[Array, "n e"]:
    """Return the scaled features, or their directions (e = d + 1), relative to an origin.

    Distances stay the same; the rounding error of a product, which grows with the lengths, shrinks.
    """
    return (_directions(x_nd) if space.angular else x_nd * scale) - origin_e


def _directions(x_nd: Array) -> Array:
    """Return unit vectors with one more coordinate, the direction that only zero vectors have."""
    norm = jnp.sqrt(jnp.sum(x_nd * x_nd, -1, keepdims=True))
    zero = norm == 0
    return jnp.concatenate([x_nd / jnp.where(zero, 1, norm), zero.astype(jnp.float32)], -1)


def product(x_nd: Float32[Array, "n d"], y_md: Float32[Array, "m d"]) -> Float32[Array, "n m"]:
    """Return inner products in full float32: accelerators would otherwise round the factors to TF32 or bfloat16."""
    return lax.dot_general(x_nd, y_md, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)


def rounding(width: int) -> float:
    """Bound the rounding error of |x|^2/2 + |y|^2/2 - x.y of that width, relative to (|x|^2 + |y|^2)/2."""
    return float(_ROUNDING_MARGIN * EPS * width**0.5 + 4 * EPS)


def first_product(x_nd: Float32[Array, "n d"], y_md: Float32[Array, "m d"], coarse: bool) -> Float32[Array, "n m"]:
    """Return inner products that propose candidates: float32 sums, of bfloat16 products where those are fast.

    On accelerators this is `split_product`. On a CPU the factors are rounded to bfloat16 if `coarse`; otherwise this is
    `product`. `first_rounding` bounds the error.
    """

    def rounded(x: Array, y: Array) -> Array:
        return _bfloat16_product(_halves(x)[0], _halves(y)[0]) if coarse else product(x, y)

    split = split_product
    product_nm: Array = lax.platform_dependent(x_nd, y_md, cuda=split, rocm=split, tpu=split, default=rounded)
    return product_nm


def split_product(x_nd: Float32[Array, "n d"], y_md: Float32[Array, "m d"]) -> Float32[Array, "n m"]:
    """Return inner products of bfloat16 numbers, accurate to 16 bits ("bf16x3").

    Every factor is split into a bfloat16 number and the rest, again in bfloat16. Of the four products that of the rests
    is left out. The other three, side by side along the width, are one product summed in float32.
    """
    (x_high, x_low), (y_high, y_low) = _halves(x_nd), _halves(y_md)
    return _bfloat16_product(jnp.concatenate([x_high, x_high, x_low], 1), jnp.concatenate([y_high, y_low, y_high], 1))


def first_rounding(
    x_nd: Float32[Array, "n d"], y_md: Float32[Array, "m d"], coarse: bool, axis: str | None = None
) -> Float32[Array, ""]:
    """Bound the error of |x|^2/2 + |y|^2/2 - x.y by `first_product`, relative to (|x|^2 + |y|^2)/2.

    Leaving x - x' out of a product changes it by at most |x - x'| |y|, and |x| |y| is at most (|x|^2 + |y|^2)/2. `axis`
    names the mesh axis that both are spread along: the bound then holds between the rows of any two devices.
    """
    width = x_nd.shape[1]

    def split(x: Array, y: Array) -> Array:
        return jnp.asarray(split_rounding(width), jnp.float32)

    def rounded(x: Array, y: Array) -> Array:
        if not coarse:
            return jnp.asarray(rounding(width), jnp.float32)
        x_share, y_share = _left_out(x), _left_out(y)
        if axis is not None:
            x_share, y_share = lax.pmax((x_share, y_share), axis)  # each by itself: they may peak on two devices
        return 1.01 * (x_share + y_share + x_share * y_share) + rounding(width)

    bound: Array = lax.platform_dependent(x_nd, y_md, cuda=split, rocm=split, tpu=split, default=rounded)
    return bound


def split_rounding(width: int) -> float:
    """Bound the rounding error of `split_product`, as `rounding` does for `product`.

    Two numbers of 8 bits leave 2^-16 of each factor out, and the product of the rests is 2^-16 again. Tensor cores
    truncate their sums of 16 terms instead of rounding them, so those errors need not cancel.
    """
    return 3 * 2.0**-16 + rounding(3 * width) + EPS * 3 * width / 16


def _halves(x: Array) -> tuple[Array, Array]:
    """Split into the leading 8 bits, which are a bfloat16 number, and the leading 8 bits of the rest."""
    high = _leading_bits(x, _BFLOAT16_BITS)
    return high.astype(jnp.bfloat16), _leading_bits(x - high, _BFLOAT16_BITS).astype(jnp.bfloat16)


def _left_out(x_nd: Array) -> Array:
    """Return the largest share of a row's length that rounding to bfloat16 leaves out."""
    rest = x_nd - _leading_bits(x_nd, _BFLOAT16_BITS)
    xx, rest = jnp.sum(x_nd * x_nd, -1), jnp.sum(rest * rest, -1)
    return jnp.sqrt(jnp.max(jnp.where(xx > 0, rest / jnp.where(xx > 0, xx, 1), 0)))


def _bfloat16_product(x_nd: Array, y_md: Array) -> Array:
    return lax.dot_general(x_nd, y_md, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32)


def pad_rows(x_nd: Shaped[Array, "n d"], rows: int) -> Shaped[Array, "p d"]:
    """Append zero rows to the matrix, up to `rows` in all."""
    return jnp.pad(x_nd, ((0, rows - x_nd.shape[0]), (0, 0)))


def tiling(n: int, chunk: int, multiple: int = 1) -> tuple[int, int]:
    """Return `(tiles, rows of a tile)` that cover n rows evenly, a tile having at most about `chunk` rows."""
    tiles = -(-n // chunk)
    return tiles, -(-n // (tiles * multiple)) * multiple
