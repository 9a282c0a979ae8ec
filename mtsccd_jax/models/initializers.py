"""Initial weights, drawn flat.

The numbers are those of `jax.random` at the array's own shape, but the generator of a flat array compiles in a third of
the time, and a network has dozens of them.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike


def normal(deviation: float) -> nnx.initializers.Initializer:
    """An initialiser that draws from a normal distribution around zero."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
        # Drawn flat, the numbers are the same and the generator compiles in a third of the time.
        return deviation * jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)

    return init


def uniform(limit: float) -> nnx.initializers.Initializer:
    """An initialiser that draws from [-limit, limit)."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, (math.prod(shape),), dtype, -limit, limit).reshape(shape)

    return init
