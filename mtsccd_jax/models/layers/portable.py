"""Layers as other runtimes have them: one operator each, instead of what XLA compiles best.

Under `portable_layers` the layers call these functions. Those that are jitted appear in a traced program under their
own names, so that an exporter can put one operator of its format in their place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax
import jax.numpy as jnp

_portable = ContextVar("portable", default=False)


@contextmanager
def portable_layers() -> Iterator[None]:
    """Trace networks with one operator for each layer."""
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)


def is_portable() -> bool:
    """Return whether a network is traced for another runtime."""
    return _portable.get()


@jax.jit
def batch_normalization(x: jax.Array, mean_c: jax.Array, scale_c: jax.Array, bias_c: jax.Array) -> jax.Array:
    """Return (x - mean) scale + bias of every channel, the last axis."""
    return (x - mean_c) * scale_c + bias_c


@jax.jit
def layer_normalization(x: jax.Array, scale_c: jax.Array, bias_c: jax.Array, epsilon: float) -> jax.Array:
    """Return the last axis normalised to mean 0 and variance 1, times scale, plus bias."""
    moved = x - jnp.mean(x, -1, keepdims=True)
    variance = jnp.mean(jnp.square(moved), -1, keepdims=True)
    return moved * jax.lax.rsqrt(variance + epsilon) * scale_c + bias_c


@jax.jit
def exact_gelu(x: jax.Array) -> jax.Array:
    """Return the exact GELU."""
    return jax.nn.gelu(x, approximate=False)


@jax.jit
def last_softmax(x: jax.Array) -> jax.Array:
    """Return the softmax over the last axis."""
    return jax.nn.softmax(x, axis=-1)


def attention(query: jax.Array, key: jax.Array, value: jax.Array, bias: jax.Array | float = 0.0) -> jax.Array:
    """Return softmax(q k^T / sqrt(d) + bias) v of every head, (..., n, h, d); the bias is (..., h, n, n)."""
    query, key, value = (array.swapaxes(-3, -2) for array in (query, key, value))
    # `einsum` would choose the order of the factors, and with it a slower product in ONNX Runtime.
    scores = (query * query.shape[-1] ** -0.5) @ key.swapaxes(-2, -1)
    weights = last_softmax(scores if isinstance(bias, float) else scores + bias)
    y: jax.Array = (weights @ value).swapaxes(-3, -2)
    return y


def max_pool(x_bhwc: jax.Array, size: int, stride: int, margins: list[tuple[int, int]]) -> jax.Array:
    """Return the largest value of every window of a map with margins (before, after) of rows and of columns."""
    y: jax.Array = jax.lax.reduce_window(x_bhwc, -jnp.inf, jax.lax.max, *_window(size, stride, margins))
    return y


def average_pool(x_bhwc: jax.Array, size: int, stride: int, padding: int) -> jax.Array:
    """Return the mean of every window, padding included."""
    total: jax.Array = jax.lax.reduce_window(x_bhwc, 0.0, jax.lax.add, *_window(size, stride, [(padding, padding)] * 2))
    return total / size**2


def _window(
    size: int, stride: int, margins: list[tuple[int, int]]
) -> tuple[tuple[int, ...], tuple[int, ...], list[tuple[int, int]]]:
    """Return the arguments of a window reduction of rows and columns."""
    return (1, size, size, 1), (1, stride, stride, 1), [(0, 0), *margins, (0, 0)]
