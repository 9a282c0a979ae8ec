"""What several of these modules ask of their arguments, with one wording of what is wrong."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def real_matrix(name: str, value: ArrayLike, width: int | None = None) -> jax.Array:
    """The argument as a float32 matrix of at least one row and one column; finite, where values are known.

    Args:
        name: what the error calls it.
        value: the argument.
        width: columns that it must have.

    Raises:
        ValueError: it is none.
    """
    return jnp.asarray(real_rows(name, value, width))


def real_rows(name: str, value: ArrayLike, width: int | None = None) -> jax.Array | np.ndarray:
    """As `real_matrix`, left where it is: what is not on a device stays on the host."""
    given = value if isinstance(value, jax.Array) else np.asarray(value)
    if given.ndim != 2 or 0 in given.shape:
        raise ValueError(f"{name} must be a matrix of at least one row and one column, got shape {given.shape}")
    if width not in (None, given.shape[1]):
        raise ValueError(f"{name} must be of width {width}, got shape {given.shape}")
    if not (jnp.issubdtype(given.dtype, jnp.floating) or jnp.issubdtype(given.dtype, jnp.integer)):
        raise ValueError(f"{name} must hold real numbers, got {given.dtype}")
    with np.errstate(over="ignore"):  # refused just below
        matrix = given.astype(np.float32) if isinstance(given, jax.Array) else given.astype(np.float32, copy=False)
    if not isinstance(matrix, jax.core.Tracer) and not _all_finite(matrix):
        row = int(np.argmin(np.isfinite(np.asarray(matrix)).all(1)))
        raise ValueError(f"{name} holds NaN, infinite or larger than float32 values, first in row {row}")
    return matrix


def class_vector(name: str, value: ArrayLike, classes: int) -> np.ndarray:
    """The argument as a vector of at least one int64 in [0, classes).

    Args:
        name: what the error calls it.
        value: the argument; booleans are 0 and 1.
        classes: how many there are.

    Raises:
        ValueError: it is none.
    """
    given = np.asarray(value)
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"{name} must be a vector of at least one example, got shape {given.shape}")
    if given.dtype != bool and not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"{name} must hold integers, got {given.dtype}")
    outside = np.flatnonzero((given < 0) | (given >= classes))
    if outside.size:
        row = int(outside[0])
        raise ValueError(f"{name}[{row}] is {given[row]}, outside 0 to {classes - 1}")
    return given.astype(np.int64)


def _all_finite(x_nd: jax.Array | np.ndarray) -> bool:
    if isinstance(x_nd, jax.Array):
        return bool(_is_largest_finite(x_nd))
    return bool(np.isfinite(x_nd.min()) and np.isfinite(x_nd.max()))  # without a mask as large as a quarter of it


@jax.jit
def _is_largest_finite(x_nd: jax.Array) -> jax.Array:
    return jnp.isfinite(jnp.max(jnp.abs(x_nd)))  # the maximum carries NaN along, and reduces faster than `all`
