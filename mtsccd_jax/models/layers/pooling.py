"""Pooling with torch's conventions, as chains of strided slices.

There is one slice for each place of the window instead of a window reduction. The gradient of a maximum is then a chain
of selections, and that of a mean a sum; on CPU the scatter in the gradient of a window reduction takes five times as
long. Windows are separable, so the two sides are pooled one after the other.
"""

import jax
import jax.numpy as jnp

from mtsccd_jax.models.layers import portable
from mtsccd_jax.models.layers.precision import wide


def global_average_pool(x_bhwc: jax.Array) -> jax.Array:
    """Return the mean over the map, (b, c) in float32 at least."""
    return jnp.mean(x_bhwc, axis=(1, 2), dtype=wide(x_bhwc.dtype))


def max_pool(
    x_bhwc: jax.Array, size: int = 3, stride: int = 2, padding: int = 1, *, ceil_mode: bool = False
) -> jax.Array:
    """Return the largest value of every window, (b, (h + 2 padding - size) // stride + 1, ..., c).

    The gradient goes to the first maximum of a window, row by row, as in torch. NaN counts as the largest value.
    `ceil_mode` also pools the windows that begin inside the map or its left padding and end beyond it.
    """
    if portable.is_portable():
        sides = [_margins(length, size, stride, padding, ceil_mode) for length in x_bhwc.shape[1:3]]
        return portable.max_pool(x_bhwc, size, stride, [(before, max(after, 0)) for before, after in sides])
    for axis in (2, 1):
        x_bhwc, *rest = _windows(x_bhwc, axis, size, stride, padding, ceil_mode, empty=-jnp.inf)
        for candidate in rest:
            x_bhwc = jnp.where((candidate > x_bhwc) | jnp.isnan(candidate), candidate, x_bhwc)
    return x_bhwc


def average_pool(x_bhwc: jax.Array, size: int, stride: int, padding: int = 0) -> jax.Array:
    """Return the mean of every window, padding included: (b, (h + 2 padding - size) // stride + 1, ..., c)."""
    if portable.is_portable():
        return portable.average_pool(x_bhwc, size, stride, padding)
    for axis in (2, 1):
        first, *rest = _windows(x_bhwc, axis, size, stride, padding, ceil_mode=False, empty=0)
        x_bhwc = sum(rest, start=first) / size
    return x_bhwc


def adaptive_average_pool(x_bhwc: jax.Array, side: int) -> jax.Array:
    """Return the mean over each of side x side parts, (b, side, side, c).

    As in torch, part i of a side of n covers floor(i n / side) to ceil((i + 1) n / side); so parts may overlap.
    """
    for axis in (2, 1):
        n = x_bhwc.shape[axis]
        parts = [
            jnp.mean(jax.lax.slice_in_dim(x_bhwc, i * n // side, -(-(i + 1) * n // side), axis=axis), axis=axis)
            for i in range(side)
        ]
        x_bhwc = jnp.stack(parts, axis=axis)
    return x_bhwc


def _windows(
    x: jax.Array, axis: int, size: int, stride: int, padding: int, ceil_mode: bool, empty: float
) -> list[jax.Array]:
    """Return the values of all windows along an axis, an array for each place of the window."""
    before, after = _margins(x.shape[axis], size, stride, padding, ceil_mode)
    zero = jnp.asarray(empty, x.dtype)
    x = jax.lax.pad(x, zero, [(before, after, 0) if i == axis else (0, 0, 0) for i in range(x.ndim)])
    stop = x.shape[axis] - size + 1
    return [jax.lax.slice_in_dim(x, place, place + stop, stride=stride, axis=axis) for place in range(size)]


def _margins(length: int, size: int, stride: int, padding: int, ceil_mode: bool) -> tuple[int, int]:
    """Return the padding before and after a side; a negative one cuts off the last rows, which no window reaches."""
    free = length + 2 * padding - size
    outputs = free // stride + 1
    if ceil_mode and free % stride and outputs * stride < length + padding:
        outputs += 1
    return padding, (outputs - 1) * stride + size - length - padding
