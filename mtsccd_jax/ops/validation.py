"""Checks of arguments that several modules of `ops` share, so that one mistake has one message."""

import difflib
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Float32, Int64, Real, Shaped

LABEL_VALUES = "labels are 0 (absent) and 1 (present)"


def real_matrix(name: str, value: Real[ArrayLike, "n d"], width: int | None = None) -> Float32[Array, "n d"]:
    """Return real numbers as a float32 matrix on the device, checked as by `real_rows`."""
    return jnp.asarray(real_rows(name, value, width))


def real_rows(name: str, value: Real[ArrayLike, "n d"], width: int | None = None) -> Float32[Array | np.ndarray, "n d"]:
    """Return real numbers as a float32 matrix where they lie; errors call it `name`.

    Raises:
        ValueError: the argument is no matrix of at least one row and one column (of `width`, if given), or (outside
            `jit`) holds values that are not finite float32.
    """
    given = value if isinstance(value, Array) else np.asarray(value)
    if given.ndim != 2 or 0 in given.shape:
        raise ValueError(f"{name} must be a matrix of at least one row and one column, got shape {given.shape}")
    if width not in (None, given.shape[1]):
        raise ValueError(f"{name} must be of width {width}, got shape {given.shape}")
    if not (jnp.issubdtype(given.dtype, jnp.floating) or jnp.issubdtype(given.dtype, jnp.integer)):
        raise ValueError(f"{name} must hold real numbers, got {given.dtype}")
    with np.errstate(over="ignore"):  # refused just below
        matrix = given.astype(np.float32) if isinstance(given, Array) else given.astype(np.float32, copy=False)
    if not isinstance(matrix, jax.core.Tracer) and not _all_finite(matrix):
        row = int(np.argmin(np.isfinite(np.asarray(matrix)).all(1)))
        raise ValueError(f"{name} holds NaN, infinite or larger than float32 values, first in row {row}")
    return matrix


def class_vector(name: str, value: Shaped[ArrayLike, " n"], classes: int) -> Int64[np.ndarray, " n"]:
    """Return a vector of at least one class number in [0, classes), integers or bool; errors call it `name`."""
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


def flags(name: str, value: Shaped[ArrayLike, "..."], allowed: str) -> Bool[np.ndarray, "..."]:
    """Return labels, bool or 0 and 1, as bool on the host; the error gives the first other value and `allowed`."""
    given = np.asarray(value)
    if given.dtype != bool:
        odd = (given != 0) & (given != 1)
        if odd.any():
            raise ValueError(f"{_first(name, given, odd)}: {allowed}")
    return given.astype(bool)


def finite_floats(name: str, value: Real[ArrayLike, "..."], what: str) -> Float[np.ndarray, "..."]:
    """Return finite real numbers as float32 or float64 on the host, whichever holds all; errors call them `what`."""
    given = np.asarray(value)
    if not (jnp.issubdtype(given.dtype, jnp.floating) or np.issubdtype(given.dtype, np.integer)):
        raise ValueError(f"{name} must hold real numbers, got {given.dtype}")
    if given.dtype not in (np.float32, np.float64):
        given = given.astype(np.float32 if given.dtype.itemsize <= 2 else np.float64)
    finite = np.isfinite(given)
    if not finite.all():
        raise ValueError(f"{_first(name, given, ~finite)}: {what} must be finite")
    return given


def check_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raise ValueError, with the nearest known name, unless the name of `what` (such as "metric") is known."""
    names = list(known)
    if name not in names:
        close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"unknown {what} {name!r}, known are {', '.join(names)}.{hint}")


def check_at_least_one(**numbers: int) -> None:
    """Raise ValueError unless every number is at least 1."""
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def check_level(level: float) -> None:
    """Raise ValueError unless `level` can be the coverage of an interval."""
    if not 0 < level < 1:
        raise ValueError(f"level is a coverage between 0 and 1, got {level}")


def _first(name: str, value: np.ndarray, wrong: np.ndarray) -> str:
    """Name the first wrong value and its place: "distance_n[1] is nan"."""
    place = [int(index) for index in np.argwhere(wrong)[0]]
    return f"{name}{place} is {value[tuple(place)]}"


def _all_finite(x_nd: Array | np.ndarray) -> bool:
    if isinstance(x_nd, Array):
        return bool(_is_largest_finite(x_nd))
    return bool(np.isfinite(x_nd.min()) and np.isfinite(x_nd.max()))  # a mask would take a quarter of the memory


@jax.jit
def _is_largest_finite(x_nd: Array) -> Array:
    return jnp.isfinite(jnp.max(jnp.abs(x_nd)))  # a maximum keeps NaN, and is faster than `all`
