"""The type of numbers that must not be rounded to half precision."""

import jax.numpy as jnp
from jax.typing import DTypeLike


def wide(dtype: DTypeLike) -> DTypeLike:
    """Return the type of statistics, features and logits for a compute type: float32 at least."""
    return jnp.promote_types(dtype, jnp.float32)
