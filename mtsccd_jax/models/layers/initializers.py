"""Initialisers, which draw a flat array and reshape it.

The numbers are those of `jax.random` at the array's own shape, but the generator of a flat array compiles in a third of
the time, and a network has dozens of them.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

# Draws an array from a key and a shape.
Initializer = Callable[..., jax.Array]


class Keys(nnx.Rngs):
    """The keys of `rngs.params()`, counted in Python.

    The stream of `nnx.Rngs` counts in an array. Inside a traced function, each update of the array walks the whole
    program traced so far: most of the time of making a network of 200 layers.
    """

    def __init__(self, rngs: nnx.Rngs) -> None:
        stream = rngs.params
        self._key, self._first, self.drawn = stream.key[...], stream.count[...], 0

    def params(self) -> jax.Array:
        """Return the next key."""
        self.drawn += 1
        return jax.random.fold_in(self._key, self._first + (self.drawn - 1))


def normal(deviation: float) -> Initializer:
    """Return an initialiser that draws from a normal distribution around zero."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
        return deviation * jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)

    return init


def kaiming_normal_fan_out(groups: int = 1) -> Initializer:
    """Return torch's `kaiming_normal_(mode="fan_out")`: variance 2 / (outputs of a group that an input reaches)."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
        reached = math.prod(shape[:-2]) * shape[-1]
        return normal((2 * groups / reached) ** 0.5)(key, shape, dtype)

    return init


def torch_uniform(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Draw as torch's convolutions and linear layers do: uniform in +-1/sqrt(inputs). The last axis is the outputs."""
    return uniform(math.prod(shape[:-1]) ** -0.5)(key, shape, dtype)


def uniform(limit: float) -> Initializer:
    """Return an initialiser that draws from [-limit, limit)."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, (math.prod(shape),), dtype, -limit, limit).reshape(shape)

    return init


def kaiming_normal_fan_in(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Draw as torch's `kaiming_normal_(mode="fan_in")`: variance 2 / inputs. The last axis is the outputs."""
    return normal((2 / math.prod(shape[:-1])) ** 0.5)(key, shape, dtype)
